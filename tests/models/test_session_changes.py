"""Changes of many sessions as they are stored, on both databases."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from afx.errors import NotFoundError
from models import base
from models.storage import session_changes, tokens
from models.storage.session_changes import NewChange, Outcome
from models.storage.tokens import NewToken


def add(*names: str, owner: str = "", token: int = 1) -> int:
    new = NewChange(token, "token:t", owner, "pause", "", "why", names, len(names), None)
    return session_changes.create(new)


def test_a_change_comes_as_far_as_its_sessions_do(database: Any) -> None:
    number = add("b", "a", "c", "d")
    assert session_changes.running() == [number]
    with base.transaction():
        assert session_changes.lock(number)
        part = session_changes.waiting(number, 3)
        assert [name for _, name in part] == ["b", "a", "c"]
        outcomes = [
            Outcome("requested", 7, ""),
            Outcome("done", None, "is"),
            Outcome("refused", None, "no"),
        ]
        session_changes.note(
            number, [(it, out) for (it, _), out in zip(part, outcomes, strict=True)]
        )
    found = session_changes.find(number)
    assert [found[it] for it in ("requested", "done", "refused", "count", "state")] == [
        *(1, 1, 1, 4, "running")
    ]
    session_changes.finish(number, "cancelled", "enough")
    assert [
        (it["session"], it["state"], it["control"]) for it in session_changes.items(number)
    ] == [
        *(("b", "requested", 7), ("a", "done", None), ("c", "refused", None)),
        ("d", "cancelled", None),
    ]
    assert session_changes.running() == []
    with base.transaction():
        assert not session_changes.lock(number)
    session_changes.finish(number, "done")
    assert session_changes.find(number)["state"] == "cancelled"


def test_changes_are_listed_by_owner_the_newest_first(database: Any) -> None:
    first, second, third = add("a"), add("b", owner="alice"), add(owner="alice")
    assert [it["id"] for it in session_changes.listing().rows] == [third, second, first]
    assert [it["id"] for it in session_changes.listing(owner="alice", sort="id").rows] == [
        second,
        third,
    ]
    assert session_changes.find(third)["state"] == "done"
    with pytest.raises(NotFoundError, match="afx session change list"):
        session_changes.find(first, owner="alice")


def test_a_change_is_permitted_as_long_as_its_token_is_valid(database: Any) -> None:
    now = base.utc_now()
    made = [
        tokens.create(NewToken(name, name, name * 64, ["*"], None, now + timedelta(days=days)))
        for name, days in (("a", 1), ("b", -1), ("c", 1))
    ]
    tokens.revoke(made[2])
    assert [session_changes.is_permitted(it) for it in (*made, 99)] == [True, False, False, False]


def test_changes_that_ended_long_ago_are_forgotten_with_their_sessions(database: Any) -> None:
    old, kept = add("a"), add("b")
    session_changes.finish(old, "done")
    with base.transaction():
        assert session_changes.prune(base.utc_now() - timedelta(days=1), 9) == 0
        assert session_changes.prune(base.utc_now() + timedelta(seconds=1), 9) == 1
    assert session_changes.items(old) == [] and session_changes.running() == [kept]
