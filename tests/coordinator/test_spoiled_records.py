"""Every record that a coordinator reads from Redis, spoiled in every way: the leader goes on.

A record may be a key of another type, bytes that are not UTF-8, a number that jumps, or
anything else. A term may end by it, as with any fault of Redis, but the next one goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_module
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.specs import SIGNING_KEYS
from support.term_harness import TermHarness, add, running

from afx.app import context_for
from afx.cluster import keys, quarantine, reports
from afx.cluster.connection import connect
from afx.cluster.generation_proof import prove
from afx.config import load
from afx.errors import FencedError
from afx.operations import cluster as cluster_operations
from afx.operations import coordinators as coordinator_operations
from afx.operations import workers as worker_operations
from models.storage import assignments, cluster
from models.tables import Session
from models.transitions import TransitionError

SESSION = 1
WORKER = keys.worker("w1")
OWN_KEYS = {
    keys.LEADER: "string",
    keys.TERM: "string",
    keys.GENERATION: "string",
    keys.GENERATION_PROOF: "string",
    keys.CURSORS_COMPLETE: "string",
    keys.AUDIT_HEAD: "string",
    keys.WORKERS: "set",
    keys.LOAD: "zset",
    keys.machine("another boot"): "set",
    WORKER: "hash",
    keys.reservations("w1"): "hash",
    keys.assignment(SESSION): "hash",
    keys.cursor(SESSION): "hash",
    keys.spec(SESSION): "string",
    keys.REPORTS: "stream",
    keys.REPORTS_REFUSED: "stream",
    keys.REPORTS_REFUSED_COUNT: "string",
    keys.JOBS_REFUSED: "stream",
    keys.JOBS_REFUSED_COUNT: "string",
    keys.EVENTS: "stream",
    "rq:queues": "set",
    "rq:workers": "set",
    "rq:queue:overflow": "list",
    f"rq:job:overflow-{SESSION}": "hash",
}
"""Each key that a coordinator or the command line reads, and its type."""
WORKER_FIELDS = [
    *("incarnation", "state", "seq", "hostname", "boot_id", "pid_namespace", "processes"),
    *("max_sessions", "assigned", "reserved", "ended", "seen", "labels", "reconciled_term"),
    *("rss", "ram_free", "ram_limit", "cpu", "sessions", "starting", "forwarded"),
]
VALUES: list[tuple[str, str]] = [
    ("string", keys.TERM),
    ("string", keys.GENERATION),
    ("string", keys.GENERATION_PROOF),
    ("string", keys.CURSORS_COMPLETE),
    ("string", keys.AUDIT_HEAD),
    ("string", keys.REPORTS_REFUSED_COUNT),
    ("string", keys.JOBS_REFUSED_COUNT),
    ("member", keys.WORKERS),
    ("scored", keys.LOAD),
    ("member", keys.machine("another boot")),
    *((f"field {it}", WORKER) for it in WORKER_FIELDS),
    (f"field {SESSION}", keys.reservations("w1")),
    ("field other", keys.reservations("w1")),
    *((f"field {it}", keys.assignment(SESSION)) for it in ("node", "incarnation", "epoch")),
    ("field account", keys.cursor(SESSION)),
    ("field other", keys.cursor(SESSION)),
    ("entry reports", keys.REPORTS),
    ("entry other", keys.REPORTS),
    ("entry event", keys.EVENTS),
    ("member", "rq:queues"),
    ("node queue", "rq:queues"),
    ("member", "rq:workers"),
    ("item", "rq:queue:overflow"),
    ("field data", f"rq:job:overflow-{SESSION}"),
]
"""How each value is written, and under which key."""
JUMPS = [b"", b"-1", b"0", b"4000000000", b"9007199254740991", b"9" * 30, b"1e400", b"nan"]
raw_values = st.sampled_from([*JUMPS, b"\xff\xfe", b"\0", b"ready", b"w1-1"]) | st.binary(
    max_size=60
)
slow = settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def survive(harness: TermHarness, done: Callable[[], bool]) -> None:
    """Run rounds as a coordinator does, term after term, until a condition holds."""
    terms = 0
    for _ in range(400):
        if done():
            return
        try:
            harness.tick()
        except (FencedError, TransitionError, redis_module.ResponseError):
            terms += 1
            assert terms < 4, "each term ends by the same record"
            harness.change_leader()
    raise AssertionError(f"not done; orders: {harness.orders.sent[-5:]}")


def all_run(count: int) -> bool:
    return len(running()) == count


@pytest.fixture
def started(harness: TermHarness) -> TermHarness:
    """A term with a node and a session that runs there."""
    harness.add_node("w1")
    assert add("alice", 1) == [SESSION]
    harness.until(lambda: all_run(1))
    return harness


@pytest.fixture
def raw(redis_url: str) -> Iterator[redis_module.Redis]:
    client = connect(redis_url, decode=False)
    yield client
    client.close()


def write(client: redis_module.Redis, how: str, key: str, value: bytes) -> None:
    kind, _, name = how.partition(" ")
    match kind:
        case "string":
            client.set(key, value)
        case "member":
            client.sadd(key, value)
        case "node":
            client.sadd(key, b"rq:queue:node-" + value)
        case "scored":
            client.zadd(key, {value: 1.0})  # type: ignore[dict-item]
        case "field":
            client.hset(key, name, value)  # type: ignore[arg-type]
        case "entry":
            client.xadd(key, {name: value})
        case "item":
            client.rpush(key, value)


@pytest.mark.parametrize("key", OWN_KEYS)
def test_a_key_of_another_type_ends_no_control_plane(
    started: TermHarness, raw: redis_module.Redis, key: str
) -> None:
    raw.delete(key)
    if OWN_KEYS[key] == "string":
        raw.rpush(key, "spoiled")
    else:
        raw.set(key, "spoiled")
    more = add("bob", 3)
    survive(started, lambda: {SESSION, *more} <= running())
    started.change_leader()
    survive(started, lambda: all_run(4))
    assert not started.ran_twice


@pytest.mark.parametrize(("how", "key"), VALUES, ids=str)
@slow
@given(value=raw_values)
def test_any_bytes_in_a_record_end_no_control_plane(
    started: TermHarness, raw: redis_module.Redis, how: str, key: str, value: bytes
) -> None:
    if raw.type(key).decode() in ("none", _type_of(how)):
        write(raw, how, key, value)
    survive(started, lambda: all_run(1))
    for _ in range(5):
        survive(started, _once(started))
    started.change_leader()
    survive(started, _once(started))
    survive(started, lambda: all_run(1))
    assert not started.ran_twice


def _once(harness: TermHarness) -> Callable[[], bool]:
    """A condition that holds after one round."""
    begun = harness.now
    return lambda: harness.now > begun


def _type_of(how: str) -> str:
    kinds = {"string": "string", "member": "set", "node": "set", "scored": "zset"}
    kinds |= {"field": "hash", "entry": "stream", "item": "list"}
    return kinds[how.partition(" ")[0]]


REPORT_FIELDS = ["kind", "node", "incarnation", "session_id", "epoch", "reason", "text", "term"]
numbers = st.sampled_from([0, 1, -1, 2**31, 2**32, 4 * 10**9, 2**53 - 1, 2**53, 2**63, 1.5, None])
report_values = numbers | st.sampled_from(["w1", "w1-1", "running", "stopped", "\0", "\ud800"])
report_rows = st.fixed_dictionaries(
    {
        "kind": st.sampled_from([*reports.KINDS, "novel"]),
        "node": st.sampled_from(["w1", "w2"]),
        "incarnation": st.sampled_from(["w1-1", "x"]),
    },
    optional={
        "session_id": numbers,
        "epoch": numbers,
        "reason": st.sampled_from(["requested", "internal_error", "novel"]),
        "text": report_values,
        "session_ids": st.lists(numbers, max_size=3),
        "epochs": st.lists(numbers, max_size=3),
        "term": numbers,
        "remaining": numbers,
        "witness": st.sampled_from(["w1", "w2"]),
        "witness_incarnation": st.sampled_from(["w1-1", "x"]),
        "novel": report_values,
    },
)


@settings(slow, max_examples=60)
@given(rows=st.lists(report_rows, max_size=4))
def test_any_reports_end_no_control_plane(started: TermHarness, rows: list[Any]) -> None:
    started.redis.xadd(keys.REPORTS, {"reports": json.dumps(rows)})
    survive(started, _once(started))
    survive(started, lambda: all_run(1))
    assert not started.ran_twice


# --- counters ---------------------------------------------------------------------------


_JUMPS = ["4000000000", "9007199254740991", "-5", "many", "1e9"]


@pytest.mark.parametrize(
    ("counter", "value"),
    [*((it, value) for it in ("term", "generation") for value in _JUMPS), ("generation", "500")],
)
def test_a_counter_that_jumps_is_refused_and_reported(
    started: TermHarness, counter: str, value: str
) -> None:
    term, generation = cluster.term(), cluster.generation()
    started.redis.set(f"afx:{counter}", value)
    before = quarantine.refused_count(started.redis)
    started.change_leader()
    survive(started, _once(started))
    assert (cluster.term(), cluster.generation()) == (term + 1, generation + 1)
    assert started.redis.mget(keys.TERM, keys.GENERATION) == [str(term + 1), str(generation + 1)]
    assert quarantine.refused_count(started.redis) > before


@pytest.mark.parametrize("counter", ["term", "generation"])
def test_a_counter_that_is_ahead_of_a_restored_database_is_adopted(
    started: TermHarness, counter: str
) -> None:
    started.redis.set(f"afx:{counter}", 500)
    started.redis.set(keys.GENERATION_PROOF, prove(SIGNING_KEYS, 500))
    started.change_leader()
    assert int(started.redis.get(f"afx:{counter}") or 0) == 501


@pytest.mark.parametrize("epoch", ["9007199254740991", "many", "-3"])
def test_a_session_whose_recorded_epoch_jumps_is_placed_again(
    started: TermHarness, epoch: str
) -> None:
    [before] = assignments.active()
    started.redis.hset(keys.assignment(SESSION), "epoch", epoch)
    started.report_failure(SESSION)
    survive(started, lambda: not assignments.active())
    started.obeying = True

    Session.update(retry_at=None).execute()  # SQL's clock is not the test's
    survive(started, lambda: all_run(1))
    [after] = assignments.active()
    assert before.epoch < after.epoch < before.epoch + 100
    assert started.redis.hget(keys.assignment(SESSION), "epoch") == str(after.epoch)


def test_a_report_of_an_epoch_that_was_never_given_out_stops_nothing(
    started: TermHarness,
) -> None:
    [before] = assignments.active()
    row = {"kind": "running", "node": "w1", "incarnation": "w1-1", "session_id": SESSION}
    row_of_jump: dict[str, object] = {**row, "epoch": 2**53 - 1}
    started.redis.xadd(keys.REPORTS, {"reports": json.dumps([row_of_jump])})
    for _ in range(5):
        survive(started, _once(started))
    assert not started.sent("stop", SESSION)
    assert assignments.active() == [before]
    assert quarantine.refused_count(started.redis) == 1


def test_a_stream_without_a_free_id_begins_anew(started: TermHarness) -> None:
    last = f"{2**64 - 1}-{2**64 - 1}"
    started.redis.xadd(keys.REPORTS, {"reports": "[]"}, id=last)
    with pytest.raises(redis_module.ResponseError):
        started.redis.xadd(keys.REPORTS, {"reports": "[]"})
    survive(started, lambda: not started.redis.exists(keys.REPORTS))
    started.report_failure(SESSION)
    survive(started, lambda: not assignments.active())


def test_a_live_node_that_is_not_in_the_list_of_nodes_comes_back_and_keeps_its_sessions(
    started: TermHarness,
) -> None:
    """Else the leader would replace it, while it renews its lease."""
    [before] = assignments.active()
    started.redis.delete(keys.WORKERS)
    for _ in range(100):
        started.tick()
    assert assignments.active() == [before]
    assert not started.ran_twice


# --- the command line -------------------------------------------------------------------


@pytest.mark.parametrize("key", OWN_KEYS)
def test_the_status_is_shown_whatever_is_in_redis(
    started: TermHarness, raw: redis_module.Redis, home: Path, redis_url: str, key: str
) -> None:
    context = context_for(load(home=home, redis_url=redis_url), "test")
    for spoil in (lambda: raw.set(key, b"\xff"), lambda: raw.rpush(key, b"\xff")):
        raw.delete(key)
        spoil()
        cluster_operations.status(context)
        coordinator_operations.status(context)
        worker_operations.listing(context)
        next(iter(cluster_operations.activity(context)))
