"""Sessions: Telegram logins, what is wanted of them, and what troubles them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import peewee
from peewee import JOIN

from afx.errors import UsageError
from models.base import execute_many, micros, transaction, utc_now
from models.tables import Rule, Session, SessionAssignment, SessionQueue, User

_RETRY_SECONDS = (1, 2, 5, 10, 30, 60)


@dataclass(slots=True, frozen=True)
class Unplaced:
    """A session that should run and does not."""

    id: int
    name: str
    tier: str
    login: str
    last_worker: str
    failures: int
    since: datetime
    queued: bool
    revision: int


def create(user: User, name: str, sealed_login: str) -> Session:
    """Add a session; raises UsageError when the name is taken."""
    try:
        with transaction():
            session: Session = Session.create(user=user, name=name, login=sealed_login)
            return session
    except peewee.IntegrityError as error:
        raise UsageError(f"There is a session '{name}' already; choose another name.") from error


def create_many(user: User, rows: Sequence[tuple[str, str]]) -> list[int]:
    """Add sessions, given as (name, sealed login); returns their ids in order.

    All or none: raises UsageError when a name is taken.
    """
    names = [name for name, _ in rows]
    try:
        with transaction():
            now = micros(utc_now())
            execute_many(
                "INSERT INTO sessions"
                " (user_id, name, login, wanted, trouble, failures, revision, created_at)"
                " VALUES (?, ?, ?, 'running', '', 0, 1, ?)",
                [(user.id, name, login, now) for name, login in rows],
            )
            found: dict[str, int] = {}
            for start in range(0, len(names), 500):
                part = names[start : start + 500]
                query = Session.select(Session.name, Session.id).where(Session.name.in_(part))
                found.update(query.tuples())
            return [found[name] for name in names]
    except peewee.IntegrityError as error:
        raise UsageError("A session of one of these names exists; nothing was added.") from error


def count() -> int:
    """Return how many sessions there are."""
    return int(Session.select().count())


def remove_many(ids: Sequence[int]) -> None:
    """Remove sessions with all that hangs on them: rules, assignments, queue rows."""
    with transaction():
        execute_many("DELETE FROM sessions WHERE id = ?", [(it,) for it in ids])


def find(name: str) -> Session:
    """Return a session by name or id; raises UsageError when there is none."""
    session: Session | None = Session.get_or_none(Session.name == name)
    if session is None and name.isdigit():
        session = Session.get_or_none(Session.id == int(name))
    if session is None:
        raise UsageError(f"There is no session '{name}'; 'afx session list' shows them all.")
    return session


def listing() -> list[dict[str, Any]]:
    """Return every session with its user, node and state, by name."""
    query = (
        Session.select(
            Session.id, Session.name, User.name.alias("user"), User.tier, Session.wanted,
            SessionAssignment.worker, SessionAssignment.state, SessionAssignment.epoch,
            SessionQueue.reason.alias("waits"), Session.trouble,
        )
        .join(User)
        .switch(Session)
        .join(
            SessionAssignment, JOIN.LEFT_OUTER,
            on=(SessionAssignment.session == Session.id) & (SessionAssignment.state != "ended"),
        )
        .switch(Session)
        .join(SessionQueue, JOIN.LEFT_OUTER, on=SessionQueue.session == Session.id)
        .order_by(Session.name)
        .dicts()
    )  # fmt: skip
    return list(query)


def set_wanted(session: Session, wanted: str) -> None:
    """Say whether a session should run; clears its trouble."""
    with transaction():
        Session.update(wanted=wanted, trouble="", retry_at=None, failures=0).where(
            Session.id == session.id
        ).execute()


def unplaced(limit: int) -> list[Unplaced]:
    """Return sessions that should run, have no node, and may be tried now.

    Premium users' first, then the longest waiting. A session without an enabled
    rule has nothing to do and is not placed.
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
            Session.id, Session.name, User.tier, Session.login, last, Session.failures,
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
            peewee.fn.EXISTS(rules),
        )
        .order_by(User.tier.desc(), Session.id)
        .limit(limit)
        .tuples()
    )  # fmt: skip
    return [
        Unplaced(
            row[0],
            row[1],
            row[2],
            row[3],
            row[4] or "",
            row[5],
            row[6] or row[7],
            bool(row[6]),
            row[8],
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
