"""The noted head of the audit log: it moves only to what follows from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.databases import unguarded
from support.term_harness import AUDIT_KEY, TermHarness

from afx.cluster import audit_heads, events, keys
from afx.cluster.audit_heads import HeadState
from models import base
from models.audit_tables import AuditEntry
from models.storage import audit


def append(count: int) -> None:
    for number in range(count):
        audit.append("me", "user.add", f"user/{number}", {}, AUDIT_KEY)


def noted(harness: TermHarness) -> int:
    head = audit_heads.read_head(harness.redis, [AUDIT_KEY])
    assert head.state is not HeadState.FORGED
    return head.entries


def fault(harness: TermHarness) -> str:
    return audit_heads.read_fault(harness.redis)


def cut_off(after: int) -> None:
    """Remove the end of the log, as the owner of the database can, and hide it there."""
    digest = AuditEntry.get_by_id(after).digest
    with unguarded(base.proxy.obj):
        base.execute("DELETE FROM audit_log WHERE id > ?", after)
    base.execute("UPDATE audit_head SET entries = ?, digest = ?", after, digest)


@pytest.fixture
def watched(harness: TermHarness) -> TermHarness:
    append(6)
    harness.until(lambda: noted(harness) == 6)
    return harness


def test_the_head_follows_what_is_appended(watched: TermHarness) -> None:
    append(2)
    watched.until(lambda: noted(watched) == 8)
    assert not fault(watched)


def test_a_log_whose_end_was_cut_off_moves_no_head(watched: TermHarness) -> None:
    cut_off(4)
    watched.until(lambda: bool(fault(watched)))
    assert fault(watched) == "entry 6, which was noted, is missing"
    assert noted(watched) == 6


def test_entries_that_replace_those_cut_off_move_no_head(watched: TermHarness) -> None:
    cut_off(4)
    append(5)
    watched.until(lambda: bool(fault(watched)))
    assert fault(watched) == "entry 6 is not the one that was noted"
    for _ in range(200):  # two intervals of the watch
        watched.tick()
    assert noted(watched) == 6


def test_the_next_leader_trusts_a_log_that_was_cut_off_no_more(watched: TermHarness) -> None:
    cut_off(4)
    watched.change_leader()
    watched.until(lambda: bool(fault(watched)))
    assert noted(watched) == 6


def test_a_redis_that_lost_its_data_is_given_the_head_of_the_term(watched: TermHarness) -> None:
    watched.redis.delete(keys.AUDIT_HEAD)
    cut_off(4)
    watched.until(lambda: bool(fault(watched)))
    assert noted(watched) == 0


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE audit_log SET actor = 'you' WHERE id = 7", "entry 7 was changed"),
        ("UPDATE audit_log SET details = 'no json' WHERE id = 7", "entry 7 was changed"),
        ("UPDATE audit_log SET at = 9e99 WHERE id = 7", "entry 7 was changed"),
        ("DELETE FROM audit_log WHERE id = 7", "entries 7 to 7 are missing"),
        ("DELETE FROM audit_log WHERE id = 8", "ends at entry 7, but 8 were written"),
    ],
)
def test_an_entry_that_was_edited_before_it_was_noted_moves_no_head(
    watched: TermHarness, statement: str, expected: str
) -> None:
    append(2)
    with unguarded(base.proxy.obj):
        base.execute(statement)
    watched.until(lambda: bool(fault(watched)))
    assert expected in fault(watched)
    assert noted(watched) == 6


def test_a_head_that_was_forged_in_redis_is_not_believed(watched: TermHarness) -> None:
    cut_off(4)
    entries, digest = audit.head()
    watched.redis.set(keys.AUDIT_HEAD, audit_heads.sealed_head(entries, digest, b"another key"))
    watched.change_leader()
    watched.until(lambda: bool(fault(watched)))
    assert "without the secret key" in fault(watched)


def test_a_damaged_log_is_announced_once(watched: TermHarness) -> None:
    cut_off(4)
    for _ in range(200):
        watched.tick()
    kinds = [it["kind"] for it in events.watch(watched.redis, "0")[1]]
    assert kinds.count("audit_log_damaged") == 1


def test_a_long_log_is_checked_in_parts(home: Path, redis_url: str, sql: None) -> None:
    del sql
    append(450)
    harness = TermHarness(home, redis_url)
    harness.until(lambda: noted(harness) > 0)
    assert noted(harness) == 200
    harness.until(lambda: noted(harness) == 450)
    harness.close()


def test_an_empty_log_is_noted_as_empty(harness: TermHarness) -> None:
    harness.until(lambda: bool(harness.redis.exists(keys.AUDIT_HEAD)))
    assert audit_heads.read_head(harness.redis, [AUDIT_KEY]).state is HeadState.NOTED
