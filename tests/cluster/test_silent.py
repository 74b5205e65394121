"""Nodes that are live and do not carry out their orders."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from support.labs import NewLab, assert_clean

from afx.cluster import reports
from afx.cluster.connection import connect
from afx.cluster.registry import Identity, Metrics, Registry
from afx.cluster.reports import Running
from afx.lab.cluster import LabCluster
from models.storage import assignments, controls, sessions, workers

MIB = 1 << 20
IDLE = Metrics(100 * MIB, 2000 * MIB, 4000 * MIB, 0.1, 0, 0, 0)


class SilentNode:
    """Sends heartbeats as a supervisor does, reads no orders, and ends when it must restart."""

    def __init__(self, lab: LabCluster, incarnation: str = "first") -> None:
        self.identity = Identity("silent", incarnation, "far", "another boot", "", "1:1", 100)
        self._redis = connect(lab.redis_url)
        self._registry = Registry(self._redis)
        self._registry.register(self.identity, IDLE)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat)
        self._thread.start()

    def _beat(self) -> None:
        state = "ready"
        while not self._ended.wait(0.2):
            _term, state = self._registry.beat(self.identity, IDLE, [], state)  # type: ignore[arg-type]
            if state == "recycling":
                self._registry.leave(self.identity.name, self.identity.incarnation)
                return

    def has_ended(self) -> bool:
        """Return whether it has left, as an operator's order wants."""
        return not self._thread.is_alive()

    def claim(self) -> None:
        """Report that all sessions that it was given run."""
        reports.publish(
            self._redis,
            [
                Running(
                    node=self.identity.name,
                    incarnation=it.incarnation,
                    session_id=it.session,
                    epoch=it.epoch,
                )
                for it in assignments.active()
            ],
        )

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._redis.close()


@pytest.fixture
def silent(new_lab: NewLab) -> Iterator[tuple[LabCluster, SilentNode]]:
    """A cluster whose only node has four sessions and answers no order."""
    lab = new_lab({"AFX_ANSWER_SECONDS": "1"})
    lab.add_sessions(4)
    node = SilentNode(lab)
    lab.processes.start_coordinator()
    lab.wait("it has sessions", lambda: len(assignments.active()) == 4, 90)
    yield lab, node
    node.close()


def wait_replaced(lab: LabCluster, taken_over: Callable[[], bool]) -> None:
    """Wait until the silent node must restart and another node has its sessions."""

    def ordered() -> bool:
        return any(
            (it["kind"] == "recycle" and it["forced"] and "does not answer" in it["note"])
            or (it["state"] == "done" and it["actor"] == "coordinator")
            for it in controls.listing().rows
        )

    lab.wait("it is ordered to restart", ordered, 90)
    lab.processes.start_node("w1")
    lab.wait("another node has its sessions", taken_over, 90)


def test_a_node_that_starts_no_session_is_restarted(
    silent: tuple[LabCluster, SilentNode],
) -> None:
    lab, _ = silent
    wait_replaced(lab, lambda: {it.worker for it in assignments.active()} == {"w1"})
    lab.wait_running()
    lab.expect_copies()
    lab.post(40, 100)
    verdict = lab.wait_delivered()
    assert_clean(verdict)


def test_a_stop_that_is_not_answered_ends_the_node_and_never_just_times_out(
    silent: tuple[LabCluster, SilentNode],
) -> None:
    lab, node = silent
    node.claim()
    lab.wait_running()
    sessions.set_desired_state(sessions.find(lab.sessions[0].name), "paused")
    wait_replaced(lab, lambda: sorted(it.worker for it in assignments.active()) == ["w1"] * 3)
    lab.wait_running(3)


def test_a_node_that_does_not_answer_after_its_restart_is_cordoned(
    silent: tuple[LabCluster, SilentNode], request: pytest.FixtureRequest
) -> None:
    lab, node = silent
    lab.wait("it has left", node.has_ended, 90)
    second = SilentNode(lab, "second")
    request.addfinalizer(second.close)
    lab.wait("it has left again", second.has_ended, 90)
    assert workers.find("silent").desired_state == "cordoned"
    third = SilentNode(lab, "third")
    request.addfinalizer(third.close)
    lab.processes.start_node("w1")
    lab.wait_running()
    assert {it.worker for it in assignments.active()} == {"w1"}
