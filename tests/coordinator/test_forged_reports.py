"""Reports within their form that no node sends: none may stop the leader for good."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.postgres import postgres_server
from support.specs import SIGNING_KEYS
from support.term_harness import TermHarness, add, running

from afx.cluster import keys, quarantine, report_stream, reports
from afx.cluster.generation_proof import proved
from afx.cluster.reports import Inventory, Running, TaskEnded, TaskStarted, Trouble
from afx.coordinator.decisions.counters import GENERATION_JUMP
from afx.coordinator.decisions.epochs import COUNTER_BITS
from afx.errors import FencedError
from afx.reasons import TaskOutcome, TroubleReason
from models import base, schema
from models.storage import cluster


@pytest.fixture
def on_postgres(home: Path, redis_url: str) -> Iterator[TermHarness]:
    with postgres_server() as server:
        base.open_database(server.url)
        schema.upgrade()
        harness = TermHarness(home, redis_url)
        yield harness
        harness.close()
        base.close_database()


@pytest.mark.parametrize("kind", ["started", "ended"])
def test_a_report_of_a_task_with_a_long_name_of_a_node_does_not_end_the_leader(
    on_postgres: TermHarness, kind: str
) -> None:
    harness = on_postgres
    harness.add_node("w1")
    origin = {"node": "n" * 101, "incarnation": "i" * 41, "task_id": 1, "publication": 1}
    report = (
        TaskStarted(**origin, started_at=1)  # type: ignore[arg-type]
        if kind == "started"
        else TaskEnded(**origin, outcome=TaskOutcome.FAILED, started_at=1, ended_at=2)  # type: ignore[arg-type]
    )
    report_stream.publish(harness.redis, [report])
    for _ in range(3):
        harness.tick()


def test_one_entry_of_the_stream_does_not_end_one_term_after_another(
    harness: TermHarness,
) -> None:
    harness.add_node("w1")
    [session] = add("alice", 1)
    harness.until(lambda: running() == {session})
    generation = cluster.generation()
    report_stream.publish(
        harness.redis,
        [
            Trouble(
                node="no-such-node",
                incarnation="none",
                session_id=session,
                epoch=(generation + 1 + step * GENERATION_JUMP) << COUNTER_BITS,
                reason=TroubleReason.SEND_FAILED,
            )
            for step in range(1, 20)
        ],
    )
    ended = 0
    for _ in range(60):
        try:
            harness.tick()
        except FencedError:
            ended += 1
            harness.change_leader()
    assert ended <= 1, f"{ended} terms ended, generation {cluster.generation()}"


def forged(harness: TermHarness, session: int, **changes: object) -> reports.Report:
    """Return a report of a node that is registered, of an epoch that nobody has given out."""
    origin: dict[str, object] = {"node": "w1", "incarnation": harness.nodes["w1"].incarnation}
    epoch = cluster.generation() + 5 << COUNTER_BITS
    fields = {"term": harness.leadership.term, "remaining": 0, "proof": "", **changes}
    epoch = fields.pop("epoch", epoch)
    if fields.pop("kind", "") == "running":
        return Running(**origin, session_id=session, epoch=epoch)  # type: ignore[arg-type]
    return Inventory(**origin, session_ids=(session,), epochs=(epoch,), **fields)  # type: ignore[arg-type]


def proof_of_redis(harness: TermHarness, session: int) -> str:
    """Return the one proof that whoever reads Redis finds."""
    return str(json.loads(str(harness.redis.get(keys.spec(session))).partition(" ")[2])["proof"])


@pytest.mark.parametrize(
    "kind", ["running", "inventory", "own proof", "raised proof", "own epochs"]
)
def test_a_forged_report_of_a_registered_node_raises_no_generation_and_ends_no_term(
    harness: TermHarness, kind: str
) -> None:
    harness.add_node("w1")
    [session] = add("alice", 1)
    harness.until(lambda: running() == {session})
    before, own = cluster.generation(), proof_of_redis(harness, session)
    assert proved(SIGNING_KEYS, own) == before
    changes: dict[str, object] = {
        "running": {"kind": "running"},
        "inventory": {},
        "own proof": {"proof": own},
        "raised proof": {"proof": own.replace(str(before), str(before + 5), 1)},
        "own epochs": {"proof": own, "epoch": (before << COUNTER_BITS) + 1_000},
    }[kind]
    report_stream.publish(harness.redis, [forged(harness, session, **changes)])
    for _ in range(5):
        harness.tick()
    assert cluster.generation() == before
    assert running() == {session}
    assert not harness.sent("stop", session)
    assert quarantine.refused_count(harness.redis) == 1


def test_a_running_report_of_an_unknown_incarnation_does_not_keep_a_session_from_its_node(
    harness: TermHarness,
) -> None:
    harness.add_node("w1")
    [first] = add("alice", 1)
    harness.until(lambda: running() == {first})
    report_stream.publish(
        harness.redis,
        [Running(node="ghost", incarnation="none", session_id=first + 1, epoch=1)],
    )
    harness.tick()
    [second] = add("bob", 1)
    assert second == first + 1
    harness.until(lambda: running() == {first, second})
