"""Sessions are found by a prefix of their names, page by page, on both databases."""

from __future__ import annotations

from typing import Any

import pytest

from models import base, session_filter, tables
from models.storage import (
    sessions,
    users,
)
from models.storage.sessions import NewSession, SessionFilter


@pytest.mark.parametrize("owner", ["", "alice", "nobody"])
@pytest.mark.parametrize(
    "chosen",
    [
        SessionFilter(),
        SessionFilter(user="alice"),
        SessionFilter(tier="free"),
        SessionFilter(node="w1"),
        SessionFilter(troubled=True),
        SessionFilter(prefix="s"),
        SessionFilter(label="region=eu"),
        SessionFilter(node="w1", prefix="s"),
        *(SessionFilter(state=it) for it in sessions.STATES),
    ],
    ids=str,
)
def test_a_statement_that_is_kept_finds_what_a_new_one_finds(
    database: Any, ids: list[int], chosen: SessionFilter, owner: str
) -> None:
    sessions.set_desired_state(sessions.find("s1"), "paused")
    tables.SessionAssignment.create(
        session=ids[0], worker="w1", incarnation="i", epoch=1, state="running"
    )
    for _ in range(2):
        for after in (None, "s0"):
            made = session_filter.filtered(session_filter.described(), chosen)
            made = made.where(sessions._owned_by(owner)).order_by(tables.Session.name)
            wanted = [it["name"] for it in made.dicts() if after is None or it["name"] > after]
            found = sessions.listing(chosen, after=after, limit=50, owner=owner).rows
            assert [it["name"] for it in found] == wanted


def test_a_prefix_is_taken_literally(database: Any, ids: list[int]) -> None:
    made = ["a%b", "a_b", "axb", "a\\b", "A%b", "ab"]
    sessions.create_many(users.find("alice"), [NewSession(it, it, it) for it in made])
    for prefix in ("a%", "a_", "a\\", "A", "ab", "a"):
        found = [it["name"] for it in sessions.listing(SessionFilter(prefix=prefix)).rows]
        assert sorted(found) == sorted(it for it in made if it.startswith(prefix)), prefix
        assert set(sessions.names_beginning(prefix)) == set(found)


def test_pages_of_a_prefix_follow_each_other(database: Any, ids: list[int]) -> None:
    made = ["ab", "aB", "a-b", "a b", "aé", "Ab", "a", "äb"]
    sessions.create_many(users.find("alice"), [NewSession(it, it, it) for it in made])
    for chosen in (SessionFilter(prefix="a"), SessionFilter(prefix="a", tier="free")):
        found, after = [], None
        while not found or after is not None:
            page = sessions.listing(chosen, after=after, limit=2)
            found += [it["name"] for it in page.rows]
            after = page.next
        assert found == sorted(it for it in made if it.startswith("a"))


@pytest.mark.parametrize("after", [None, "ab"])
def test_postgres_finds_a_prefix_by_an_index_in_its_order(database: Any, after: str | None) -> None:
    """Otherwise it reads all names, in their order, when it takes the prefix for a common one."""
    if not base.is_postgres():
        return
    chosen = SessionFilter(prefix="ab")
    sessions.listing(chosen, after=after, limit=20)
    known = sessions._prepared._known[("prefix", False, "name"), after is None, 20]
    values = [*known.fixed, "ab%", *([] if after is None else [after])]
    with base.transaction():
        for it in ("seqscan", "sort", "bitmapscan"):
            base.execute(f"SET LOCAL enable_{it} = off")
        plan = base.proxy.execute_sql(f"EXPLAIN {known.text}", values).fetchall()
    assert "Index Scan using sessions_name_pattern" in str(plan)
    assert "Sort" not in str(plan)
