"""Statements whose text is kept: they give what the query gives, whatever the values."""

from __future__ import annotations

from typing import Any

import pytest

from models.prepared import Prepared
from models.storage import sessions, users
from models.storage.sessions import NewSession, SessionFilter
from models.tables import Session


@pytest.fixture
def filled(database: Any) -> None:
    for user in ("alice", "bob"):
        owner = users.create(user)
        sessions.create_many(owner, [NewSession(f"{user[0]}-{n}", "x") for n in range(5)])


@pytest.mark.parametrize("owner", ["", "alice", "nobody"])
@pytest.mark.parametrize("after", [None, "a-1", "b-3", "zzz"])
def test_a_page_is_the_same_with_and_without_a_kept_text(
    filled: None, owner: str, after: str | None
) -> None:
    for limit in (1, 3, 100):
        kept = sessions.listing(after=after, limit=limit, owner=owner)
        # A filter takes the other way; this one leaves nothing out.
        free = SessionFilter(tier="free")
        assert kept == sessions.listing(free, after=after, limit=limit, owner=owner)


def test_a_query_that_binds_other_values_last_is_refused(filled: None) -> None:
    with pytest.raises(ValueError, match="other values"):
        Prepared().rows("x", ["a-1"], lambda: Session.select().where(Session.name == "b-1"))


def test_a_text_of_another_database_is_not_used(filled: None, database: Any) -> None:
    first = sessions.listing(limit=2)
    assert [it["name"] for it in first.rows] == ["a-0", "a-1"]
    assert first.rows[0]["created_at"].tzinfo is not None
    assert first.rows[0]["requires"] == {}
