"""What the coordinator asks of sessions: which want a place, which have failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from peewee import JOIN, fn

from models.base import execute_many, micros, utc_now
from models.tables import TIERS, Rule, Session, SessionAssignment, SessionQueue, User

_RETRY_SECONDS = (1, 2, 5, 10, 30, 60, 300, 900, 1800)
ACTIVE_FOR = timedelta(hours=1)
"""A session that has forwarded within that time is active."""
_PART = 500


@dataclass(slots=True, frozen=True)
class Unplaced:
    """A session that should run and does not."""

    id: int
    name: str
    tier: str
    last_worker: str
    failures: int
    waited: float
    """Seconds in the overflow queue; 0 for one that is not in it."""
    queued: bool
    revision: int
    requires: frozenset[str] = frozenset()
    """Labels that its node must have, as ``key=value``."""
    active: bool = False
    """It has forwarded something lately."""


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
class Traits:
    """What of a session decides where it fits."""

    premium: bool
    active: bool
    requires: frozenset[str]


def traits(ids: Sequence[int]) -> dict[int, Traits]:
    """Return what decides where sessions fit, by id."""
    lately = utc_now() - ACTIVE_FOR
    query = Session.select(Session.id, User.tier, Session.active_at, Session.requires).join(User)
    return {
        row[0]: Traits(row[1] == "premium", bool(row[2] and row[2] > lately), labels_of(row[3]))
        for start in range(0, len(ids), _PART)
        for row in query.where(Session.id.in_(list(ids[start : start + _PART]))).tuples()
    }


@dataclass(slots=True, frozen=True)
class Standing:
    """What is wanted of one session, and what keeps it from running."""

    name: str
    desired_state: str
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
                Session.id,
                Session.name,
                Session.desired_state,
                Session.removing,
                Session.trouble,
                SessionQueue.reason,
                fn.EXISTS(rules),
            )
            .join(SessionQueue, JOIN.LEFT_OUTER, on=SessionQueue.session == Session.id)
            .where(Session.id.in_(list(ids[start : start + _PART])))
        )
        for row in query.tuples():
            found[row[0]] = Standing(row[1], row[2], row[3], row[4], row[5] or "", bool(row[6]))
    return found


def unplaced(limit: int, only: Sequence[int] | None = None) -> list[Unplaced]:
    """Return sessions that should run, have no node, and may be tried now.

    The longest waiting first, up to ``limit`` of each tier. A session without an
    enabled rule has nothing to do and is not placed. ``only`` looks at no
    others, which is fast however many there are.
    """
    now = utc_now()
    query = _unplaced(now).limit(limit)
    query = query.order_by(fn.COALESCE(SessionQueue.since, micros(now)), Session.id)
    if only is not None:
        query = query.where(Session.id.in_(list(only)))
    return [it for tier in TIERS for it in _read(query.where(User.tier == tier), now)]


def unplaced_in_turn(beyond: int, limit: int) -> tuple[list[Unplaced], int]:
    """Return such sessions by their ids, and where to go on; 0 is the beginning.

    Whoever asks again and again sees all of them, also when the ``limit`` longest
    waiting ones of a tier fit nowhere.
    """
    now = utc_now()
    query = _unplaced(now).where(Session.id > beyond).order_by(Session.id).limit(limit)
    pages = [_read(query.where(User.tier == tier), now) for tier in TIERS]
    ends = [page[-1].id for page in pages if len(page) == limit]
    return [it for page in pages for it in page], min(ends, default=0)


def _unplaced(now: datetime) -> Any:
    active = SessionAssignment.alias()
    last = (
        SessionAssignment.select(SessionAssignment.worker)
        .where(SessionAssignment.session == Session.id)
        .order_by(SessionAssignment.epoch.desc())
        .limit(1)
    )
    rules = Rule.select(Rule.id).where((Rule.session == Session.id) & Rule.enabled)
    return (
        Session.select(
            Session.id,
            Session.name,
            User.tier,
            last,
            Session.failures,
            SessionQueue.since,
            Session.revision,
            Session.requires,
            Session.active_at,
        )
        .join(User)
        .switch(Session)
        .join(
            active,
            JOIN.LEFT_OUTER,
            on=(active.session == Session.id) & (active.state != "ended"),
        )
        .switch(Session)
        .join(SessionQueue, JOIN.LEFT_OUTER, on=SessionQueue.session == Session.id)
        .where(
            Session.desired_state == "running",
            active.id.is_null(),
            Session.retry_at.is_null() | (Session.retry_at <= now),
            fn.EXISTS(rules),
        )
        .tuples()
    )


def _read(rows: Any, now: datetime) -> list[Unplaced]:
    lately = now - ACTIVE_FOR
    return [
        Unplaced(
            row[0],
            row[1],
            row[2],
            row[3] or "",
            row[4],
            (now - row[5]).total_seconds() if row[5] else 0.0,
            row[5] is not None,
            row[6],
            labels_of(row[7]),
            bool(row[8] and row[8] > lately),
        )
        for row in rows
    ]


def labels_of(held: Mapping[str, str] | None) -> frozenset[str]:
    """Return labels as ``key=value``."""
    return frozenset(f"{key}={value}" for key, value in (held or {}).items())


def note_failures(rows: Sequence[tuple[int, str]]) -> None:
    """Note why sessions failed; each is tried again after a growing pause."""
    now = utc_now()
    ids = [session for session, _ in rows]
    counts = dict(Session.select(Session.id, Session.failures).where(Session.id.in_(ids)).tuples())
    execute_many(
        "UPDATE sessions SET trouble = ?, failures = failures + 1, retry_at = ? WHERE id = ?",
        [
            (
                _told(reason, counts.get(session, 0) + 1),
                micros(now + timedelta(seconds=_pause(counts.get(session, 0)))),
                session,
            )
            for session, reason in rows
        ],
    )


def note_active(ids: Sequence[int]) -> None:
    """Note that sessions have forwarded something within the last minute."""
    now = micros(utc_now())
    execute_many("UPDATE sessions SET active_at = ? WHERE id = ?", [(now, it) for it in ids])


def note_moved(ids: Sequence[int]) -> None:
    """Note that sessions were moved to even nodes out, or made to wait."""
    now = micros(utc_now())
    execute_many("UPDATE sessions SET moved_at = ? WHERE id = ?", [(now, it) for it in ids])


@dataclass(slots=True, frozen=True)
class Running:
    """A session that runs, as those see it who may move it."""

    session: int
    incarnation: str
    tier: str
    active: bool
    idle: float
    """Seconds since it forwarded anything."""
    rested: bool
    """It was not moved lately."""
    requires: frozenset[str]


def running(rest: timedelta, tier: str | None = None) -> list[Running]:
    """Return the sessions that run; ``rest`` is how long one is left alone after a move."""
    now = utc_now()
    query = (
        SessionAssignment.select(
            Session.id,
            SessionAssignment.incarnation,
            User.tier,
            Session.active_at,
            SessionAssignment.running_at,
            Session.moved_at,
            Session.requires,
        )
        .join(Session)
        .join(User)
        .where(SessionAssignment.state == "running")
    )
    if tier is not None:
        query = query.where(User.tier == tier)
    return [
        Running(
            row[0],
            row[1],
            row[2],
            bool(row[3] and row[3] > now - ACTIVE_FOR),
            (now - (row[3] or row[4] or now)).total_seconds(),
            row[5] is None or row[5] < now - rest,
            labels_of(row[6]),
        )
        for row in query.tuples()
    ]


def moved_since(instant: datetime) -> int:
    """Return how many sessions were moved or made to wait since an instant."""
    return int(Session.select().where(Session.moved_at >= instant).count())


def note_lost_logins(rows: Sequence[tuple[int, str]]) -> None:
    """Note sessions whose login Telegram no longer takes: they are not tried again."""
    execute_many(
        "UPDATE sessions SET trouble = ?, desired_state = 'paused' WHERE id = ?",
        [(reason, session) for session, reason in rows],
    )


def clear_trouble(ids: Sequence[int]) -> None:
    """Forget the troubles of sessions that run."""
    execute_many(
        "UPDATE sessions SET trouble = '', failures = 0, retry_at = NULL"
        " WHERE id = ? AND (failures > 0 OR trouble <> '')",
        [(session,) for session in ids],
    )


def _told(reason: str, times: int) -> str:
    return reason if times == 1 else f"{reason} ({times} times in a row)"


def _pause(failures: int) -> int:
    return _RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)]
