"""What the coordinator asks of sessions: which want a place, which have failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from peewee import JOIN, fn

from models.base import execute_many, micros, utc_now
from models.tables import Rule, Session, SessionAssignment, SessionQueue, User

_RETRY_SECONDS = (1, 2, 5, 10, 30, 60)
_PART = 500


@dataclass(slots=True, frozen=True)
class Unplaced:
    """A session that should run and does not."""

    id: int
    name: str
    tier: str
    last_worker: str
    failures: int
    since: datetime
    queued: bool
    revision: int


@dataclass(slots=True, frozen=True)
class Login:
    """What a node is told of a session, beside its rules."""

    id: int
    name: str
    tier: str
    login: str
    """Sealed by the vault."""


def logins(ids: Sequence[int]) -> list[Login]:
    """Return the sealed logins of sessions."""
    query = Session.select(Session.id, Session.name, User.tier, Session.login).join(User)
    return [Login(*row) for row in query.where(Session.id.in_(list(ids))).tuples()]


@dataclass(slots=True, frozen=True)
class Standing:
    """What is wanted of one session, and what keeps it from running."""

    name: str
    wanted: str
    removing: bool
    trouble: str
    waits: str
    """Why it is in the overflow queue; empty: it is not."""
    has_rule: bool


def standing(ids: Sequence[int]) -> dict[int, Standing]:
    """Return how sessions stand, by id."""
    rules = Rule.select(Rule.id).where((Rule.session == Session.id) & Rule.enabled)
    found: dict[int, Standing] = {}
    for start in range(0, len(ids), _PART):
        query = (
            Session.select(
                Session.id, Session.name, Session.wanted, Session.removing, Session.trouble,
                SessionQueue.reason, fn.EXISTS(rules),
            )
            .join(SessionQueue, JOIN.LEFT_OUTER, on=SessionQueue.session == Session.id)
            .where(Session.id.in_(list(ids[start : start + _PART])))
        )  # fmt: skip
        for row in query.tuples():
            found[row[0]] = Standing(row[1], row[2], row[3], row[4], row[5] or "", bool(row[6]))
    return found


def unplaced(limit: int, only: Sequence[int] | None = None) -> list[Unplaced]:
    """Return sessions that should run, have no node, and may be tried now.

    Premium users' first, then the longest waiting. A session without an enabled
    rule has nothing to do and is not placed. ``only`` looks at no others, which
    is fast however many there are.
    """
    now = utc_now()
    active = SessionAssignment.alias()
    last = (
        SessionAssignment.select(SessionAssignment.worker)
        .where(SessionAssignment.session == Session.id)
        .order_by(SessionAssignment.epoch.desc())
        .limit(1)
    )
    rules = Rule.select(Rule.id).where((Rule.session == Session.id) & Rule.enabled)
    query = (
        Session.select(
            Session.id, Session.name, User.tier, last, Session.failures,
            SessionQueue.since, Session.created_at, Session.revision,
        )
        .join(User)
        .switch(Session)
        .join(
            active, JOIN.LEFT_OUTER,
            on=(active.session == Session.id) & (active.state != "ended"),
        )
        .switch(Session)
        .join(SessionQueue, JOIN.LEFT_OUTER, on=SessionQueue.session == Session.id)
        .where(
            Session.wanted == "running",
            active.id.is_null(),
            Session.retry_at.is_null() | (Session.retry_at <= now),
            fn.EXISTS(rules),
        )
        .order_by(User.tier.desc(), Session.id)
        .limit(limit)
        .tuples()
    )  # fmt: skip
    if only is not None:
        query = query.where(Session.id.in_(list(only)))
    return [
        Unplaced(
            row[0], row[1], row[2], row[3] or "", row[4], row[5] or row[6], bool(row[5]), row[7]
        )
        for row in query
    ]


def note_failures(rows: Sequence[tuple[int, str]]) -> None:
    """Note why sessions failed; each is tried again after a growing pause."""
    now = utc_now()
    ids = [session for session, _ in rows]
    counts = dict(Session.select(Session.id, Session.failures).where(Session.id.in_(ids)).tuples())
    execute_many(
        "UPDATE sessions SET trouble = ?, failures = failures + 1, retry_at = ? WHERE id = ?",
        [
            (reason, micros(now + timedelta(seconds=_pause(counts.get(session, 0)))), session)
            for session, reason in rows
        ],
    )


def note_lost_logins(rows: Sequence[tuple[int, str]]) -> None:
    """Note sessions whose login Telegram no longer takes: they are not tried again."""
    execute_many(
        "UPDATE sessions SET trouble = ?, wanted = 'paused' WHERE id = ?",
        [(reason, session) for session, reason in rows],
    )


def clear_trouble(ids: Sequence[int]) -> None:
    """Forget the troubles of sessions that run."""
    execute_many(
        "UPDATE sessions SET trouble = '', failures = 0, retry_at = NULL"
        " WHERE id = ? AND (failures > 0 OR trouble <> '')",
        [(session,) for session in ids],
    )


def _pause(failures: int) -> int:
    return _RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)]
