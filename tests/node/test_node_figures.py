"""What a node's probes say as its lease comes and goes."""

from __future__ import annotations

import pytest

from afx.clock import Clock
from afx.cluster.redis_faults import RedisFault
from afx.exposition import lines
from afx.node.lease_memory import LeaseMemory
from afx.node.node_figures import NodeFigures


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.clock = Clock(lambda: self.now, lambda: self.now, lambda: self.now)


@pytest.fixture
def time() -> Time:
    return Time()


def shown(figures: NodeFigures) -> list[str]:
    return [it for it in lines(figures.probed().metrics()) if not it.startswith("#")]


def test_a_node_is_ready_while_it_has_a_lease(time: Time) -> None:
    figures = NodeFigures("w1", time.clock)
    probed = figures.probed()
    assert not probed.readiness().ok
    memory = LeaseMemory()
    figures.note_begin(memory)
    memory.renew(101.0, 103.0)
    assert not probed.readiness().ok  # it is not registered
    figures.note_registered()
    assert probed.readiness().ok
    assert 'afx_node_lease_left_seconds{node="w1"} 3.0' in shown(figures)
    time.now = 103.0
    assert probed.readiness().detail == "the node has no lease"
    assert 'afx_node_ready{node="w1"} 0' in shown(figures)


def test_a_node_that_is_to_drain_or_stop_is_not_ready(time: Time) -> None:
    figures = NodeFigures("w1", time.clock)
    memory = LeaseMemory()
    figures.note_begin(memory)
    figures.note_registered()
    memory.renew(101.0, 103.0)
    figures.note_heartbeat("", "draining")
    assert figures.probed().readiness().detail == "its desired state is draining"
    figures.note_heartbeat("unreachable", "")
    figures.note_heartbeat("", "ready")
    assert figures.probed().readiness().ok


def test_a_supervisor_that_stands_still_is_not_healthy(time: Time) -> None:
    figures = NodeFigures("w1", time.clock)
    time.now = 110.0
    assert figures.probed().health().ok
    time.now = 116.0
    assert not figures.probed().health().ok
    figures.note_alive()
    assert figures.probed().health().ok


def test_failures_endings_and_losses_are_counted_over_incarnations(time: Time) -> None:
    figures = NodeFigures("w1", time.clock)
    for _ in range(2):
        memory = LeaseMemory()
        figures.note_begin(memory)
        memory.note_loss()
        memory.note_redis_fault(RedisFault.OUT_OF_MEMORY)
        memory.beat(99.0, 1, 0, 5)
        figures.note_heartbeat("out_of_memory", "")
        assert 'afx_node_redis_fault{node="w1",kind="out_of_memory"} 1' in shown(figures)
        assert 'afx_node_host_beat_age_seconds{node="w1"} 1.0' in shown(figures)
        figures.note_end("host_died")
    assert {
        'afx_node_incarnations_total{node="w1"} 2',
        'afx_node_redis_losses_total{node="w1"} 2',
        'afx_node_failed_heartbeats_total{node="w1",kind="out_of_memory"} 2',
        'afx_node_ended_incarnations_total{node="w1",kind="host_died"} 2',
    } <= set(shown(figures))
    assert "redis_fault{" not in "".join(shown(figures))
