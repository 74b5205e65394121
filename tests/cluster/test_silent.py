"""Nodes that live and do not do what they were ordered to."""

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
    """Beats as a supervisor does; nobody reads its orders. It ends when told to."""

    def __init__(self, lab: LabCluster, incarnation: str = "first") -> None:
        self.who = Identity("silent", incarnation, "far", "another boot", "", "1:1", 100)
        self._redis = connect(lab.redis_url)
        self._registry = Registry(self._redis)
        self._registry.register(self.who, IDLE)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat)
        self._thread.start()

    def _beat(self) -> None:
        wanted = "ready"
        while not self._ended.wait(0.2):
            _term, wanted = self._registry.beat(self.who, IDLE, [], wanted)  # type: ignore[arg-type]
            if wanted == "recycling":
                self._registry.leave(self.who.name, self.who.incarnation)
                return

    def has_ended(self) -> bool:
        """Return whether it has left, as it was told to."""
        return not self._thread.is_alive()

    def claim(self) -> None:
        """Say that it runs whatever it was given."""
        reports.publish(
            self._redis,
            [
                Running(
                    node=self.who.name,
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
    """A cluster whose only node was given four sessions and answers nothing."""
    lab = new_lab({"AFX_ANSWER_SECONDS": "1"})
    lab.add_sessions(4)
    node = SilentNode(lab)
    lab.processes.start_coordinator()
    lab.wait("it has sessions", lambda: len(assignments.active()) == 4, 20)
    yield lab, node
    node.close()


def ends(lab: LabCluster, chosen: Callable[[], bool] = lambda: True) -> None:
    def told() -> bool:
        return any(
            (it["kind"] == "recycle" and it["forced"] and "does not answer" in it["note"])
            or (it["state"] == "done" and it["actor"] == "coordinator")
            for it in controls.listing().rows
        )

    lab.wait("it is told to begin anew", told, 20)
    lab.processes.start_node("w1")
    lab.wait("another has its sessions", chosen, 20)


def test_a_node_that_starts_nothing_is_made_to_begin_anew(
    silent: tuple[LabCluster, SilentNode],
) -> None:
    lab, _ = silent
    ends(lab, lambda: {it.worker for it in assignments.active()} == {"w1"})
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
    ends(lab, lambda: sorted(it.worker for it in assignments.active()) == ["w1"] * 3)
    lab.wait_running(3)


def test_a_node_that_stays_silent_after_it_began_anew_is_cordoned(
    silent: tuple[LabCluster, SilentNode], request: pytest.FixtureRequest
) -> None:
    lab, node = silent
    lab.wait("it has left", node.has_ended, 20)
    second = SilentNode(lab, "second")
    request.addfinalizer(second.close)
    lab.wait("it has left again", second.has_ended, 30)
    assert workers.find("silent").desired_state == "cordoned"
    third = SilentNode(lab, "third")
    request.addfinalizer(third.close)
    lab.processes.start_node("w1")
    lab.wait_running()
    assert {it.worker for it in assignments.active()} == {"w1"}
