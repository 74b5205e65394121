"""Placement explained, and drains foreseen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.databases import prepare
from support.term_harness import IDLE, MIB

from afx.app import ProcessServers
from afx.cluster.connection import connect
from afx.cluster.quarantine import Quarantine
from afx.cluster.registry import Registry
from afx.cluster.worker_records import Identity, Metrics
from afx.config import load
from afx.errors import NotFoundError
from afx.operations import placing
from afx.operations.context import Actor, Context
from models.storage import rules, sessions, users, workers
from models.storage.rules import NewRule
from models.storage.sessions import NewSession
from models.tables import SessionAssignment, SessionQueue


class Nodes:
    """Records of nodes in Redis, and assignments in SQL."""

    def __init__(self, redis_url: str) -> None:
        client = connect(redis_url)
        self.registry = Registry(client, Quarantine(client))
        self._epochs = iter(range(1, 1_000))

    def add(self, name: str, metrics: Metrics = IDLE, most: int = 100, **labels: str) -> None:
        identity = Identity(name, f"{name}-1", "far", "boot", "", "1:1", most, labels)
        assert self.registry.register(identity, metrics)
        workers.seen_many([workers.Seen(name, f"{name}-1", "far", "ready")])

    def assign(self, name: str, session: str, *, ended: str = "") -> None:
        SessionAssignment.create(
            session=sessions.find(session),
            worker=name,
            incarnation=f"{name}-1",
            epoch=next(self._epochs),
            state="ended" if ended else "running",
            reason=ended,
        )


@pytest.fixture
def context(home: Path, redis_url: str) -> Iterator[Context]:
    prepare(home)
    with ProcessServers(load(home=home, redis_url=redis_url)) as servers:
        servers.open_database(create=True)
        for user, tier in (("alice", "free"), ("carol", "premium")):
            owner = users.create(user, tier)
            rows = [NewSession(f"{user}-{it}", "sealed", f"{user}-{it}") for it in range(4)]
            made = sessions.create_many(owner, rows)
            rules.create_many([NewRule(it, "r", ["-1"], ["-2"]) for it in made])
        yield servers.context(Actor("test"))


@pytest.fixture
def nodes(context: Context, redis_url: str) -> Nodes:
    return Nodes(redis_url)


FULL = replace(IDLE, ram_free=600 * MIB)


def test_where_a_session_runs_has_the_reason_of_its_last_move(
    context: Context, nodes: Nodes
) -> None:
    nodes.add("w1")
    nodes.assign("w2", "alice-0", ended="its node is down")
    nodes.assign("w1", "alice-0")
    found = placing.explain(context, "alice-0")
    assert (found.state, found.node) == ("running", "w1")
    assert "it was on w2 (its node is down)" in found.why[0]
    assert [(it.node, it.fits) for it in found.nodes] == [("w1", True)]


def test_each_node_says_why_it_cannot_take_a_session(context: Context, nodes: Nodes) -> None:
    nodes.add("full", FULL)
    nodes.add("many", most=0)
    nodes.add("other", region="us")
    nodes.add("right", region="eu")
    sessions.set_requires(sessions.find("alice-0"), {"region": "eu"})
    found = placing.explain(context, "alice-0")
    by_name = {it.node: "; ".join(it.reasons) for it in found.nodes}
    assert found.nodes[0].node == "right" and by_name["right"] == ""
    assert "lacks the label region=eu" in by_name["other"]
    assert "MiB of room" in by_name["full"]
    assert "as many as it may have" in by_name["many"]
    assert found.why == ("A node fits; the leader places it in one of its next rounds.",)


def test_a_waiting_session_says_what_it_waits_for(context: Context, nodes: Nodes) -> None:
    assert placing.explain(context, "alice-0").why == ("No node is registered; start one.",)
    nodes.add("full", FULL)
    assert "No node can take it" in placing.explain(context, "alice-0").why[0]
    SessionQueue.create(session=sessions.find("alice-0"), reason="no node has room")
    assert "overflow queue: no node has room" in placing.explain(context, "alice-0").why[0]
    sessions.set_desired_state(sessions.find("alice-1"), "paused")
    assert placing.explain(context, "alice-1").why == ("It is paused; resume it.",)


def test_premium_sessions_may_take_what_is_reserved_for_them(
    context: Context, nodes: Nodes
) -> None:
    # 4,000 MiB: 512 of headroom, 200 for premium sessions.
    nodes.add("w1", replace(IDLE, ram_free=600 * MIB))
    free, premium = (placing.explain(context, it) for it in ("alice-0", "carol-0"))
    assert (free.nodes[0].fits, premium.nodes[0].fits) == (False, True)
    assert "reserved for premium" in free.nodes[0].reasons[0]


def test_a_customer_learns_nothing_of_the_nodes(context: Context, nodes: Nodes) -> None:
    nodes.add("w1")
    actor = Actor("token:x", frozenset(("session:read",)), "alice")
    own = context.servers.context(actor)  # type: ignore[attr-defined]
    found = placing.explain(own, "alice-0")
    assert (found.nodes, found.needs_bytes) == ((), 0)
    with pytest.raises(NotFoundError):
        placing.explain(own, "carol-0")


def test_a_drain_is_foreseen_with_targets_and_those_without_room(
    context: Context, nodes: Nodes
) -> None:
    for name in ("w1", "w2", "w3"):
        nodes.add(name)
    for number in range(4):
        nodes.assign("w1", f"alice-{number}")
    found = placing.preview_drain(context, "w1")
    assert (found.sessions, found.fits, found.left) == (4, True, 0)
    assert sum(found.targets.values()) == 4 and set(found.targets) <= {"w2", "w3"}
    sessions.set_requires(sessions.find("alice-0"), {"region": "mars"})
    found = placing.preview_drain(context, "w1")
    assert (found.fits, found.left) == (False, 1)
    assert [it.session for it in found.undrainable] == ["alice-0"]
    assert "labels" in found.undrainable[0].reason


def test_a_drain_of_the_only_node_moves_nothing(context: Context, nodes: Nodes) -> None:
    nodes.add("w1")
    nodes.assign("w1", "alice-0")
    found = placing.preview_drain(context, "w1")
    assert (found.targets, found.left) == ({}, 1)
    assert "room" in found.undrainable[0].reason


def test_a_drain_of_an_empty_or_unknown_node(context: Context, nodes: Nodes) -> None:
    nodes.add("w1")
    assert placing.preview_drain(context, "w1").fits
    with pytest.raises(NotFoundError):
        placing.preview_drain(context, "nowhere")
