"""Controls on a real registry and real tables: what the leader sets, notes and gives up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis as redis_module

from afx.app import context_for
from afx.cluster import events
from afx.cluster.registry import Registry
from afx.cluster.worker_records import Identity, Metrics, WorkerView
from afx.config import load
from afx.coordinator.controls import Controls
from afx.coordinator.coordinator_restart import CoordinatorRestart
from afx.coordinator.decisions.control_progress import (
    NODE_PROGRESS,
    STANDBY_HEAD_START_SECONDS,
    STUCK_SECONDS,
)
from afx.coordinator.moves import MoveNews
from afx.operations import workers as operations
from afx.operations.context import Context
from models.base import transaction
from models.storage import cluster, controls, workers
from models.storage.control_subjects import CoordinatorsSubject, NodeSubject
from models.storage.workers import Seen

KEY = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="
TERM = 1
IDLE = Metrics(0, 2**30, 2**31, 0.0, 0, 0, 0)


def me() -> Context:
    return context_for(load(secret_key=KEY), "test")


@dataclass
class Table:
    """The assignments that the controls ask for: how many each incarnation has."""

    sessions: Counter[str] = field(default_factory=Counter)
    active: dict[int, Any] = field(default_factory=dict)

    def counts(self) -> Counter[str]:
        return self.sessions


class Leader:
    """One leader's controls, at a moment that the test says."""

    def __init__(self, client: redis_module.Redis) -> None:
        self.registry = Registry(client)
        self.table = Table()
        client.set("afx:term", TERM)
        with transaction():
            cluster.hold(TERM)
        self.client = client
        self.controls = Controls(
            client,
            self.registry,
            self.table,  # type: ignore[arg-type]
            CoordinatorRestart(),
            TERM,
        )

    def add_node(self, name: str, incarnation: str) -> None:
        identity = Identity(name, incarnation, "host", "boot", "ns", "1:1", 100)
        self.registry.register(identity, IDLE)
        workers.seen_many([Seen(name, incarnation, "host", "ready")])

    def tick(self, now: float = 0.0, news: MoveNews | None = None) -> dict[str, str]:
        """Read, set the nodes' states and note the progress; returns the nodes' states."""
        self.controls.read()
        nodes = self.controls.apply_desired_states(self.registry.all())
        self.is_restart_due = self.controls.advance(nodes, {}, news or MoveNews(), now)
        return {it.name: it.state for it in nodes}

    def nodes(self) -> list[WorkerView]:
        return self.registry.all()


@pytest.fixture
def leader(database: Any, redis: redis_module.Redis) -> Leader:
    return Leader(redis)


def state(control_id: int | None) -> str:
    assert control_id is not None
    return str(controls.get(control_id)["state"])


def test_a_node_that_cannot_be_drained_is_not_recycled_for_ever(leader: Leader) -> None:
    leader.add_node("w1", "one")
    leader.table.sessions["one"] = 2
    control_id = operations.recycle(me(), "w1").control
    stuck = MoveNews(stuck=Counter({"one": 2}))
    assert leader.tick(0.0, stuck) == {"w1": "draining"}
    leader.tick(STUCK_SECONDS - 1, stuck)
    assert state(control_id) == "sent"
    leader.tick(STUCK_SECONDS, stuck)
    assert state(control_id) == "failed"
    assert leader.tick() == {"w1": "ready"}


def test_a_control_of_an_unknown_kind_fails_and_the_others_go_on(
    leader: Leader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(NODE_PROGRESS, "uncordon")  # type: ignore[arg-type]
    leader.add_node("w1", "one")
    leader.add_node("w2", "two")
    unknown = controls.request(kind="uncordon", subject=NodeSubject("w1"), actor="me")
    cordon = operations.cordon(me(), ["w2"])[0].control
    assert leader.tick()["w2"] == "cordoned"
    assert (state(unknown.id), state(cordon)) == ("failed", "sent")
    assert "upgrade" in str(controls.get(unknown.id)["note"])


def test_the_time_for_which_a_node_is_stuck_begins_again_when_a_session_has_moved(
    leader: Leader,
) -> None:
    leader.add_node("w1", "one")
    leader.table.sessions["one"] = 2
    control_id = operations.recycle(me(), "w1").control
    stuck = MoveNews(stuck=Counter({"one": 2}))
    leader.tick(0.0, stuck)
    leader.tick(STUCK_SECONDS - 1, MoveNews(stuck=Counter({"one": 1})))
    leader.tick(STUCK_SECONDS, stuck)
    leader.tick(2 * STUCK_SECONDS - 1, stuck)
    assert state(control_id) == "sent"


def test_a_recycled_node_is_drained_first_and_restarts_when_it_is_empty(leader: Leader) -> None:
    leader.add_node("w1", "one")
    leader.table.sessions["one"] = 1
    operations.recycle(me(), "w1")
    assert leader.tick() == {"w1": "draining"}
    leader.table.sessions.clear()
    assert leader.tick() == {"w1": "recycling"}


def test_a_control_that_has_come_further_is_announced_once(leader: Leader) -> None:
    leader.add_node("w1", "one")
    leader.table.sessions["one"] = 1
    operations.drain(me(), ["w1"])
    for _ in range(3):
        leader.tick()
    announced = [it["changed"] for it in events.recent(leader.client, 10)]
    assert announced == [1]  # sent; nothing has changed since


def test_to_uncordon_a_node_ends_its_recycle(leader: Leader) -> None:
    leader.add_node("w1", "one")
    leader.table.sessions["one"] = 1
    recycle = operations.recycle(me(), "w1").control
    assert leader.tick() == {"w1": "draining"}
    uncordon = operations.uncordon(me(), ["w1"])[0]
    assert uncordon.control is not None
    assert leader.tick() == {"w1": "ready"}
    assert state(recycle) == "cancelled"
    assert controls.get(int(recycle or 0))["note"] == "superseded: desired state is ready"
    assert state(uncordon.control) == "sent"
    assert operations.uncordon(me(), ["w1"])[0].note == "is already ready"


def test_a_recycle_does_not_end_because_the_node_is_cordoned_meanwhile(leader: Leader) -> None:
    leader.add_node("w1", "one")
    leader.table.sessions["one"] = 1
    operations.recycle(me(), "w1")
    leader.tick()
    operations.cordon(me(), ["w1"])[0]
    assert leader.tick() == {"w1": "draining"}


def test_a_control_that_was_sent_to_an_incarnation_does_not_bind_the_next_one(
    leader: Leader,
) -> None:
    leader.add_node("w1", "one")
    control_id = operations.stop(me(), ["w1"])[0].control
    assert leader.tick() == {"w1": "stopping"}
    leader.registry.leave("w1", "one")
    leader.add_node("w1", "two")
    assert leader.tick() == {"w1": "ready"}
    assert state(control_id) == "done"


def test_a_node_that_does_not_answer_is_restarted_and_cordoned_the_next_time(
    leader: Leader,
) -> None:
    leader.add_node("w1", "one")
    leader.tick()
    leader.controls.restart_unresponsive({"one": 3}, leader.nodes(), 0.0)
    assert controls.open_ones()[0].note == "node does not answer for 3 sessions"
    assert leader.tick() == {"w1": "recycling"}
    [control] = controls.open_ones()
    assert (control.kind, control.subject, control.forced) == ("recycle", NodeSubject("w1"), True)
    leader.registry.leave("w1", "one")
    leader.add_node("w1", "two")
    leader.tick(1.0)
    assert controls.open_ones() == []
    leader.controls.read()
    leader.controls.restart_unresponsive({"two": 3}, leader.nodes(), 100.0)
    assert workers.desired_states() == {"w1": "cordoned"}


def test_a_leader_that_was_running_before_restarts_after_its_standbys(leader: Leader) -> None:
    control = controls.request(kind="recycle", subject=CoordinatorsSubject(), actor="me")
    leader.tick(10.0)
    assert not leader.is_restart_due
    leader.tick(10.0 + STANDBY_HEAD_START_SECONDS)
    assert leader.is_restart_due and state(control.id) == "sent"


def test_a_leader_that_started_since_notes_that_the_restart_is_done(
    database: Any, redis: redis_module.Redis
) -> None:
    control = controls.request(kind="recycle", subject=CoordinatorsSubject(), actor="me")
    later = Leader(redis)
    later.tick()
    assert state(control.id) == "done" and not later.is_restart_due


def test_a_control_that_an_operator_cancels_meanwhile_ends_nothing_else(leader: Leader) -> None:
    leader.add_node("w1", "one")
    leader.add_node("w2", "two")
    first, second = (it.control for it in operations.stop(me(), ["w1", "w2"]))
    leader.controls.read()
    nodes = leader.controls.apply_desired_states(leader.nodes())
    controls.cancel(int(first or 0), "cancelled by me")
    leader.controls.advance(nodes, {}, MoveNews(), 0.0)
    assert (state(first), state(second)) == ("cancelled", "sent")
