"""The audit log: whatever is done to it behind its back shows."""

from __future__ import annotations

from typing import Any

import peewee
import pytest
from support.databases import together, unguarded

from models import base
from models.audit_tables import AuditEntry
from models.storage import audit

KEY = b"k" * 32


@pytest.fixture
def log(database: Any) -> Any:
    for number in range(6):
        audit.append("me", "user.add", f"user/{number}", {"number": number, "text": "é\n"}, KEY)
    return database


def test_an_unchanged_log_verifies(log: Any) -> None:
    verdict = audit.verify([KEY])
    assert (verdict.entries, verdict.faults) == (6, ())
    assert audit.verify([b"new", KEY], seen=audit.head()).faults == ()


def test_what_takes_the_end_of_the_log_first_may_append_to_it(log: Any) -> None:
    with base.transaction():
        audit.lock_head()
        audit.lock_head()
        audit.append("me", "user.add", "user/7", {}, KEY)
    assert audit.verify([KEY]).entries == 7


def test_the_database_refuses_to_change_or_remove_entries(log: Any) -> None:
    with pytest.raises(peewee.DatabaseError, match="append-only"), base.transaction():
        AuditEntry.update(actor="you").where(AuditEntry.id == 3).execute()
    with pytest.raises(peewee.DatabaseError, match="append-only"), base.transaction():
        AuditEntry.delete().execute()
    assert audit.verify([KEY]).faults == ()


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE audit_log SET actor = 'you' WHERE id = 3", "entry 3 was changed"),
        ("UPDATE audit_log SET details = '{}' WHERE id = 6", "entry 6 was changed"),
        ("UPDATE audit_log SET at = at + 1 WHERE id = 1", "entry 1 was changed"),
        ("DELETE FROM audit_log WHERE id = 3", "entries 3 to 3 are missing"),
        ("DELETE FROM audit_log WHERE id = 1", "entries 1 to 1 are missing"),
        ("DELETE FROM audit_log WHERE id = 6", "ends at entry 5, but 6 were written"),
        ("DELETE FROM audit_log", "ends at entry 0, but 6 were written"),
        ("UPDATE audit_log SET id = 6 - id WHERE id = 6", "entry"),
    ],
)
def test_an_entry_that_was_changed_or_removed_shows(log: Any, statement: str, fault: str) -> None:
    with unguarded(log):
        base.execute(statement)
    faults = audit.verify([KEY]).faults
    assert faults and fault in faults[0]


def test_another_key_is_one_fault_and_not_one_for_each_entry(log: Any) -> None:
    verdict = audit.verify([b"another"])
    assert verdict.key_differs and len(verdict.faults) == 1
    assert not audit.verify([KEY]).key_differs


def test_the_list_of_faults_is_limited(log: Any) -> None:
    for number in range(150):
        audit.append("me", "user.add", f"user/{number}", {}, b"another")
    faults = audit.verify([KEY]).faults
    assert len(faults) == 100
    assert "entry 7 was changed" in faults[0]


def test_entries_that_changed_places_show(log: Any) -> None:
    with unguarded(log):
        for old, new in ((2, 99), (3, 2), (99, 3)):
            base.execute("UPDATE audit_log SET id = ? WHERE id = ?", new, old)
    assert audit.verify([KEY]).faults


def test_a_truncation_is_found_with_a_recorded_head(log: Any) -> None:
    seen = audit.head()
    digest = AuditEntry.get_by_id(4).digest
    with unguarded(log):
        base.execute("DELETE FROM audit_log WHERE id > 4")
    base.execute("UPDATE audit_head SET entries = 4, digest = ?", digest)
    assert audit.verify([KEY]).faults == ()
    assert "but 6 were noted" in audit.verify([KEY], seen=seen).faults[0]
    audit.append("me", "user.add", "user/x", {}, KEY)
    audit.append("me", "user.add", "user/y", {}, KEY)
    assert "not the one that was noted" in audit.verify([KEY], seen=seen).faults[0]


def test_an_entry_cannot_be_forged_without_the_key(log: Any) -> None:
    audit.append("me", "user.add", "user/x", {}, b"another")
    assert "entry 7" in audit.verify([KEY]).faults[0]


def test_a_rolled_back_change_leaves_no_entry_and_no_gap(log: Any) -> None:
    with base.transaction(keep=False):
        audit.append("me", "user.add", "user/x", {}, KEY)
    audit.append("me", "user.add", "user/y", {}, KEY)
    verdict = audit.verify([KEY])
    assert (verdict.entries, verdict.faults) == (7, ())


def test_writers_at_once_make_one_chain(log: Any) -> None:
    def write(number: int) -> None:
        for _ in range(10):
            audit.append(f"w{number}", "user.add", "user/x", {}, KEY)

    together(4, write)
    verdict = audit.verify([KEY])
    assert (verdict.entries, verdict.faults) == (46, ())


def test_entries_are_filtered_by_actor_and_action(log: Any) -> None:
    audit.append("you", "session.pause", "session/main", {"control": 1}, KEY)
    assert [it["id"] for it in audit.listing(limit=3).rows] == [7, 6, 5]
    assert [it["id"] for it in audit.listing(before=6, limit=1).rows] == [5]
    assert [it["actor"] for it in audit.listing(action="session.").rows] == ["you"]
    assert [it["action"] for it in audit.listing(actor="you").rows] == ["session.pause"]
    assert [it["details"]["number"] for it in audit.listing(target="user/2").rows] == [2]


def test_a_log_is_followed_in_parts_from_an_earlier_head(log: Any) -> None:
    first = audit.follow([KEY], (0, ""), limit=2)
    assert (first.entries, first.complete, first.fault) == (2, False, "")
    rest = audit.follow([KEY], (first.entries, first.digest), limit=1000)
    assert ((rest.entries, rest.digest), rest.complete) == (audit.head(), True)


def test_a_log_that_does_not_go_on_from_an_earlier_head_shows(log: Any) -> None:
    assert audit.follow([KEY], (1, "another digest"), limit=10).fault
