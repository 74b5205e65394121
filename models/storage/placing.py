"""The coordinator's queries for placement: which sessions wait, run, or may move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from peewee import JOIN, SQL, Case, fn

from models.base import execute_many, micros, utc_now
from models.proxy_tables import Proxy
from models.tables import TIERS, Rule, Session, SessionAssignment, SessionQueue, User

ACTIVE_FOR = timedelta(hours=1)
"""A session that has forwarded a message within this time is active."""
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
    """It has forwarded a message recently."""
    awake: bool = False
    """It hibernates, and is awake for a short time."""


@dataclass(slots=True, frozen=True)
class Traits:
    """The properties of a session that decide on which nodes it fits."""

    premium: bool
    active: bool
    requires: frozenset[str]


def traits(ids: Sequence[int]) -> dict[int, Traits]:
    """Return the properties that decide on which nodes sessions fit, by id."""
    recently = utc_now() - ACTIVE_FOR
    query = Session.select(
        Session.id, User.tier, Session.active_at, Session.requires, Proxy.requires
    )
    query = query.join(User).switch(Session).join(Proxy, JOIN.LEFT_OUTER)
    return {
        row[0]: Traits(
            row[1] == "premium", bool(row[2] and row[2] > recently), labels_of(row[3], row[4])
        )
        for start in range(0, len(ids), _PART)
        for row in query.where(Session.id.in_(list(ids[start : start + _PART]))).tuples()
    }


@dataclass(slots=True, frozen=True)
class Standing:
    """The desired state of one session, and what keeps it from running."""

    name: str
    desired_state: str
    removing: bool
    trouble: str
    waits: str
    """Why it is in the overflow queue; empty when it is not."""
    has_rule: bool
    hibernation: str
    """Why it hibernates; empty when it does not."""


def standing(ids: Sequence[int]) -> dict[int, Standing]:
    """Return the standing of sessions, by id."""
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
                fn.EXISTS(rules) | (Session.sends == 1),
                Session.hibernation,
            )
            .join(SessionQueue, JOIN.LEFT_OUTER, on=SessionQueue.session == Session.id)
            .where(Session.id.in_(list(ids[start : start + _PART])))
        )
        for row in query.tuples():
            found[row[0]] = Standing(
                row[1], row[2], row[3], row[4], row[5] or "", bool(row[6]), row[7]
            )
    return found


def unplaced(limit: int, only: Sequence[int] | None = None) -> list[Unplaced]:
    """Return sessions that should run, have no node, and may be tried now.

    The longest waiting first, up to ``limit`` of each tier. A session without an
    enabled rule has nothing to do and is not placed, unless it is awake for a task or rules
    name it as a sender.
    ``only`` restricts the query to some sessions, which is fast however many there are.
    """
    now = utc_now()
    query = _unplaced(now).limit(limit)
    query = query.order_by(fn.COALESCE(SessionQueue.since, micros(now)), Session.id)
    if only is not None:
        query = query.where(Session.id.in_(list(only)))
    return [it for tier in TIERS for it in _read(query.where(User.tier == tier), now)]


def waiting(beyond: int, to: int | None) -> list[int]:
    """Return the sessions that should run, have no node, and may be tried now.

    Those after session ``beyond``, up to ``to``; None: up to the last one.
    """
    query = _unplaced(utc_now()).select(Session.id).where(Session.id > beyond)
    if to is not None:
        query = query.where(Session.id <= to)
    return [row[0] for row in query.tuples()]


def unplaced_in_turn(beyond: int, limit: int) -> tuple[list[Unplaced], int]:
    """Return such sessions ordered by id, and the id to continue after; 0 is the beginning.

    Repeated calls return all of them, also when the ``limit`` longest waiting
    ones of a tier fit on no node.
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
            Session.awake_at,
            Proxy.requires,
        )
        .join(User)
        .switch(Session)
        .join(Proxy, JOIN.LEFT_OUTER)
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
            fn.EXISTS(rules) | (Session.sends == 1) | Session.awake_at.is_null(False),
        )
        .tuples()
    )


def _read(rows: Any, now: datetime) -> list[Unplaced]:
    recently = now - ACTIVE_FOR
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
            labels_of(row[7], row[10]),
            bool(row[8] and row[8] > recently),
            row[9] is not None,
        )
        for row in rows
    ]


def labels_of(*labels: Mapping[str, str] | None) -> frozenset[str]:
    """Return labels as ``key=value``: those of a session, and those of its proxy."""
    return frozenset(f"{key}={value}" for each in labels if each for key, value in each.items())


def note_active(ids: Sequence[int]) -> None:
    """Note that sessions have forwarded a message within the last minute."""
    now = micros(utc_now())
    execute_many("UPDATE sessions SET active_at = ? WHERE id = ?", [(now, it) for it in ids])


def note_moved(ids: Sequence[int]) -> None:
    """Note that sessions were moved by rebalancing, or preempted."""
    now = micros(utc_now())
    execute_many("UPDATE sessions SET moved_at = ? WHERE id = ?", [(now, it) for it in ids])


@dataclass(slots=True, frozen=True)
class Running:
    """A running session, as rebalancing and preemption see it."""

    session: int
    incarnation: str
    tier: str
    active: bool
    idle: float
    """Seconds since it forwarded a message."""
    rested: bool
    """Its last move is longer ago than the rest period."""
    requires: frozenset[str]


def class_counts(workers: Sequence[str]) -> dict[str, dict[tuple[bool, bool], int]]:
    """Return how many sessions of each class, (premium, active), run on some nodes.

    By incarnation.
    """
    active = Session.active_at.is_null(False) & (Session.active_at > utc_now() - ACTIVE_FOR)
    premium = User.tier == "premium"
    query = (
        SessionAssignment.select(
            SessionAssignment.incarnation,
            Case(None, [(premium, 1)], 0).alias("premium"),
            Case(None, [(active, 1)], 0).alias("active"),
            fn.COUNT(SessionAssignment.id),
        )
        .join(Session)
        .join(User)
        .where(
            SessionAssignment.state == "running",
            SessionAssignment.state != "ended",  # for the index
        )
        .group_by(SQL("1"), SQL("2"), SQL("3"))
    )
    found: dict[str, dict[tuple[bool, bool], int]] = {}
    for start in range(0, len(workers), _PART):
        part = list(workers[start : start + _PART])
        for row in query.where(SessionAssignment.worker.in_(part)).tuples():
            found.setdefault(row[0], {})[bool(row[1]), bool(row[2])] = row[3]
    return found


def running(rest: timedelta, tier: str | None = None, *, workers: Sequence[str]) -> list[Running]:
    """Return the running sessions of some nodes; ``rest`` is how long one is not moved again."""
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
            Proxy.requires,
        )
        .join(Session)
        .join(User)
        .switch(Session)
        .join(Proxy, JOIN.LEFT_OUTER)
        .where(
            SessionAssignment.state == "running",
            SessionAssignment.state != "ended",  # for the index
            SessionAssignment.worker.in_(list(workers)),
        )
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
            labels_of(row[6], row[7]),
        )
        for row in query.tuples()
    ]


def moved_within(span: timedelta) -> int:
    """Return how many sessions were moved by rebalancing, or preempted, within a span."""
    return int(Session.select().where(Session.moved_at >= utc_now() - span).count())
