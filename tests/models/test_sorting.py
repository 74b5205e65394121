"""Lists in other orders than their own, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from afx.errors import UsageError
from models.base import is_postgres, proxy, utc_now
from models.paging import Page
from models.storage import (
    audit,
    controls,
    dead_letters,
    queue,
    rules,
    sessions,
    tasks,
    users,
)
from models.storage.control_subjects import SessionSubject
from models.storage.sessions import NewSession, SessionFilter
from models.tables import DeadLetter, Session, SessionQueue

Read = Callable[..., Page]
SINCE = (utc_now() - timedelta(minutes=1), utc_now())
SORTED: dict[str, tuple[Read, str, tuple[str, ...]]] = {
    # The list, the name that it gives to where a page begins, and its orders.
    "sessions": (sessions.listing, "after", ("name", "id")),
    "users": (users.listing, "after", ("name", "id")),
    "rules": (rules.listing, "after", ("id",)),
    "queue": (queue.listing, "after", ("name", "since")),
    "dead letters": (dead_letters.listing, "after", ("id", "last_at")),
    "controls": (controls.listing, "before", ("id",)),
    "tasks": (tasks.listing, "before", ("id",)),
    "audit": (audit.listing, "before", ("id",)),
}
ORDERS = [(name, it) for name, (_, _, orders) in SORTED.items() for it in orders]


def walk(
    name: str, sort: str, *, limit: int = 2, between: Callable[[], None] = lambda: None
) -> Any:
    read, after, _ = SORTED[name]
    found: list[dict[str, Any]] = []
    page = read(sort=sort, limit=limit)
    while True:
        found += page.rows
        if page.next is None:
            return found
        between()
        page = read(sort=sort, limit=limit, **{after: page.next})


@pytest.fixture
def rows(ids: list[int]) -> list[int]:
    """Five sessions and users, some of which wait since the same moment, each with a letter."""
    more = [users.create(it) for it in ("zoe", "bob", "eve", "mia")]
    made = sessions.create_many(more[0], [NewSession(it, "sealed") for it in ("b", "z")])
    for session in (*made, *ids):
        SessionQueue.create(session=session, reason="full", since=SINCE[session % 2])
        controls.request(kind="pause", subject=SessionSubject(session), actor="a")
    [rule] = rules.for_sessions([ids[0]])[ids[0]]
    for number in range(5):
        DeadLetter.create(
            rule=rule.id,
            source=-1,
            destination=-2,
            block=number,
            reason="x",
            error="",
            messages="1",
            count=1,
            attempts=1,
            first_at=SINCE[0],
            last_at=SINCE[number % 2],
        )
    return [*made, *ids]


@pytest.mark.parametrize(("name", "column"), ORDERS)
def test_the_pages_of_each_order_are_the_list_in_that_order_and_backwards(
    database: Any, rows: list[int], name: str, column: str
) -> None:
    forwards, backwards = walk(name, column), walk(name, f"-{column}")
    assert forwards == backwards[::-1]
    values = [it[column] for it in forwards]
    assert values == sorted(values)
    assert len({str(it) for it in forwards}) == len(forwards)


def test_what_appears_or_goes_between_two_pages_neither_repeats_nor_hides_another(
    database: Any, rows: list[int]
) -> None:
    before = [it["id"] for it in walk("queue", "-since")]
    gone = iter(before[:2])

    def between() -> None:
        SessionQueue.delete().where(SessionQueue.session == next(gone)).execute()

    assert [it["id"] for it in walk("queue", "-since", between=between)] == before


@pytest.mark.parametrize("sort", ["", "-", "--name", "login", "name desc", "name;--", "Name", "9"])
def test_a_list_has_no_other_orders(database: Any, sort: str) -> None:
    for read, _, _ in SORTED.values():
        with pytest.raises(UsageError, match=r"no order|listed by name"):
            read(sort=sort)


@pytest.mark.parametrize(
    "after", ["", "1", "/", "1/", "a/b", "1/2/3", "9" * 19 + "/1", "-1/1", None]
)
def test_a_page_begins_after_a_time_and_an_id_and_nothing_else(
    database: Any, rows: list[int], after: str | None
) -> None:
    if after is None:
        assert len(queue.listing(sort="since", after=after).rows) == 5
        return
    with pytest.raises(UsageError, match="MICROSECONDS/ID"):
        queue.listing(sort="since", after=after)


def test_names_with_a_beginning_have_the_order_of_their_index_only(database: Any) -> None:
    with pytest.raises(UsageError, match="leave out the order"):
        sessions.listing(SessionFilter(prefix="s"), sort="-id")


def test_an_index_finds_where_a_page_begins_among_those_that_wait_as_long(
    database: Any, rows: list[int]
) -> None:
    SessionQueue.delete().execute()
    Session.update(desired_state="paused").execute()
    seen: list[tuple[str, Any]] = []
    real = proxy.obj.execute_sql

    def noted(sql: str, *given: Any, **named: Any) -> Any:
        seen.append((sql, *given))
        return real(sql, *given, **named)

    proxy.obj.execute_sql = noted
    try:
        queue.listing(sort="since", after="5/5")
    finally:
        proxy.obj.execute_sql = real
    [(sql, values)] = seen
    if is_postgres():
        real("SET LOCAL enable_seqscan = off")
        real("SET LOCAL enable_sort = off")
    explain = "EXPLAIN" if is_postgres() else "EXPLAIN QUERY PLAN"
    plan = str(real(f"{explain} {sql}", values).fetchall())
    assert "session_queue_since_session_id" in plan and "TEMP B-TREE" not in plan, plan
