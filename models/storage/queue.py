"""The overflow queue: sessions that are unschedulable now, and wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peewee import fn

from models import sorting
from models.base import execute_many, micros, utc_now
from models.paging import Page
from models.sorting import Column
from models.tables import Rule, Session, SessionAssignment, SessionQueue, User

_ORDERS = {
    "name": Column(Session.name),
    "since": Column(SessionQueue.since, SessionQueue.session),
}
NO_LABELS = "no ready node has "
"""How the reason begins of a session whose labels no node has: more nodes do not help it."""


def put_many(rows: Sequence[tuple[int, str]]) -> None:
    """Put sessions into the queue, given as (session, reason); those in it stay."""
    now = micros(utc_now())
    execute_many(
        "INSERT INTO session_queue (session_id, reason, since, attempts) VALUES (?, ?, ?, 1)"
        " ON CONFLICT (session_id) DO UPDATE SET"
        " reason = EXCLUDED.reason, attempts = session_queue.attempts + 1",
        [(session, reason, now) for session, reason in rows],
    )


def remove_many(ids: Sequence[int]) -> None:
    """Remove sessions from the queue."""
    execute_many("DELETE FROM session_queue WHERE session_id = ?", [(it,) for it in ids])


def ids() -> set[int]:
    """Return the sessions that wait."""
    return {row[0] for row in SessionQueue.select(SessionQueue.session).tuples()}


def obsolete() -> list[int]:
    """Return sessions in the queue that no longer need a place.

    They were paused, have no enabled rule any more, or were placed since.
    """
    rules = Rule.select(Rule.id).where((Rule.session == Session.id) & Rule.enabled)
    active = SessionAssignment.select(SessionAssignment.id).where(
        (SessionAssignment.session == Session.id) & (SessionAssignment.state != "ended")
    )
    # Evaluated for the sessions in the queue only, however many there are in all.
    wanting = Session.select(Session.id).where(
        (Session.id == SessionQueue.session)
        & (Session.desired_state == "running")
        & (fn.EXISTS(rules) | Session.awake_at.is_null(False))
        & ~fn.EXISTS(active)
    )
    query = SessionQueue.select(SessionQueue.session).where(~fn.EXISTS(wanting))
    return [row[0] for row in query.tuples()]


def count() -> int:
    """Return how many sessions wait."""
    return int(SessionQueue.select().count())


def count_without_room() -> int:
    """Return how many sessions wait for room; those that wait for labels do not count."""
    return int(SessionQueue.select().where(~SessionQueue.reason.startswith(NO_LABELS)).count())


def listing(*, after: Any = None, limit: int = 100, sort: str = "name") -> Page:
    """Return sessions that wait, by name, or by ``since`` and id."""
    query = (
        SessionQueue.select(
            Session.id,
            Session.name,
            User.name.alias("user"),
            User.tier,
            SessionQueue.reason,
            SessionQueue.since,
            SessionQueue.attempts,
        )
        .join(Session)
        .join(User)
    )
    return sorting.fetch(query, _ORDERS, sort, after=after, limit=limit)
