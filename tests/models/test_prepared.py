"""Statements whose text is kept: they give what the query gives, whatever the values."""

from __future__ import annotations

from typing import Any

import pytest

from afx.errors import NotFoundError
from models import base
from models.prepared import Prepared
from models.storage import rules, sessions, users
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
    for limit in (1, 3, 10, 100):
        kept = sessions.listing(after=after, limit=limit, owner=owner)
        # A filter takes the other way; this one leaves nothing out.
        free = SessionFilter(tier="free")
        assert kept == sessions.listing(free, after=after, limit=limit, owner=owner)


@pytest.mark.parametrize("after", [None, "a-1"])
def test_the_sessions_of_a_user_are_the_same_with_and_without_a_kept_text(
    filled: None, after: str | None
) -> None:
    for user in ("alice", "bob", "al", str(users.find("bob").id)):
        kept = sessions.listing(SessionFilter(user=user), after=after)
        both = SessionFilter(user=user, tier="free")
        assert kept == sessions.listing(both, after=after)
    with pytest.raises(NotFoundError):
        sessions.listing(SessionFilter(user="nobody"))


def test_a_row_that_is_found_by_a_kept_text_is_as_the_table_gives_it(filled: None) -> None:
    for text in ("a-3", str(Session.get(Session.name == "a-3").id)):
        found, given = sessions.find(text), Session.get(Session.name == "a-3")
        assert found.__data__ == given.__data__ and not found.dirty_fields
        assert found.user.name == "alice" and found == given
    for row in (sessions.find("b-1"), sessions.find("b-2")):
        row.trouble = f"of {row.name}"
        row.save()
    assert sessions.find("b-1").trouble == "of b-1" != sessions.find("b-2").trouble
    assert users.find("bob").created_at.tzinfo is not None


def test_a_page_that_comes_as_one_row_has_the_values_that_were_stored(filled: None) -> None:
    odd = 'a "b" \\ é 🎉 [x]'
    session = sessions.find("a-1")
    sessions.set_requires(session, {"region": "eu"})
    Session.update(trouble=odd, removing=True).where(Session.id == session.id).execute()
    first, second = sessions.listing(limit=20).rows[:2]
    assert (second["trouble"], second["requires"]) == (odd, {"region": "eu"})
    assert (second["state"], first["node"], first["epoch"]) == ("removing", None, None)
    stored = Session.get(Session.name == "a-1")
    assert (second["id"], second["created_at"]) == (stored.id, stored.created_at)
    rules.create(stored, ["@a"], ["@b"], name="n")
    [rule] = rules.listing(session=stored, limit=50).rows
    assert rule["enabled"] is True and rule["sources"] == ["@a"]
    assert sessions.listing(after="zzz", limit=20).rows == []


def test_postgres_plans_a_page_once_and_finds_assignments_by_their_partial_index(
    filled: None, database: Any
) -> None:
    sessions.listing(limit=20)
    known = sessions._prepared._known[("all", False, "name"), True, 20]
    # A parameter in their places keeps Postgres from one plan for all executions.
    assert known.text.endswith("LIMIT 21") and "<> 'ended'" in known.text.replace("!=", "<>")
    if not base.is_postgres():
        return
    for _ in range(10):
        sessions.listing(limit=20)
    query = (
        "SELECT SUM(generic_plans) FROM pg_prepared_statements"
        " WHERE position('session_assignments' IN statement) > 0"
    )
    assert base.execute(query).fetchone()[0] >= 1


def test_a_query_that_binds_other_values_last_is_refused(filled: None) -> None:
    with pytest.raises(ValueError, match="other values"):
        Prepared().rows("x", ["a-1"], lambda: Session.select().where(Session.name == "b-1"))


def test_a_text_of_another_database_is_not_used(filled: None, database: Any) -> None:
    first = sessions.listing(limit=2)
    assert [it["name"] for it in first.rows] == ["a-0", "a-1"]
    assert first.rows[0]["created_at"].tzinfo is not None
    assert first.rows[0]["requires"] == {}
