"""Messages that wait for an operator: one row for each message of a route.

A row is written once, however often its message is reported, and stays for a time after it
was decided: so a message that is replayed is neither held nor counted once more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from peewee import fn

from models import paging
from models.base import execute, is_postgres, micros, utc_now
from models.paging import Page
from models.tables import HeldMessage, Rule, Session, User

_MOST_IN_ALBUM = 10
_AT_ONCE = 1_000
"""Ids in one statement: databases take a bounded number of values."""
MOST = 10_000
"""Messages of one rule that wait; the oldest of more expire."""


@dataclass(slots=True, frozen=True)
class Held:
    """A message of a route, as a node has reported it."""

    session: int
    rule: int
    source: int
    destination: int
    message: int
    album: int
    version: int
    content: str
    """Sealed."""
    expires_at: datetime
    event: str
    """``held``; ``edited``: if it waits; ``again``: it was edited since it was approved."""


@dataclass(slots=True, frozen=True)
class Settled:
    """What has become of messages of a route."""

    session: int
    rule: int
    source: int
    destination: int
    messages: Sequence[int]
    state: str
    """``released`` or ``deleted``."""


def note(items: Iterable[Held | Settled]) -> None:
    """Write what nodes report, in the given order; call it in a transaction.

    What is about a rule that the session does not have is left out.
    """
    now = micros(utc_now())
    for it in items:
        if isinstance(it, Settled):
            _settle(it, now)
        elif it.event == "held":
            _add(it, now)
        else:
            _change(it, now)


def _add(it: Held, now: int) -> None:
    execute(
        "INSERT INTO held_messages (rule_id, source, destination, message, album, version, state,"
        " content, held_at, changed_at, expires_at, actor)"
        " SELECT id, CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS INTEGER),"
        " CAST(? AS INTEGER), CAST(? AS BIGINT), 'held', CAST(? AS TEXT), CAST(? AS BIGINT),"
        " CAST(? AS BIGINT), CAST(? AS BIGINT), '' FROM rules WHERE id = ? AND session_id = ?"
        " ON CONFLICT (rule_id, source, destination, message) DO UPDATE SET"
        " version = excluded.version, content = excluded.content,"
        " changed_at = excluded.changed_at WHERE held_messages.state = 'held'"
        " AND held_messages.version <> excluded.version",
        *(it.source, it.destination, it.message, it.album, it.version, it.content),
        *(now, now, micros(it.expires_at), it.rule, it.session),
    )


def _change(it: Held, now: int) -> None:
    """Give a message that waits its new content; one that was approved waits again."""
    states = "('held', 'approved')" if it.event == "again" else "('held')"
    execute(
        "UPDATE held_messages SET version = ?, content = ?, changed_at = ?, state = 'held',"
        " decided_at = NULL, actor = '', expires_at = CASE WHEN state = 'held' THEN expires_at"
        " ELSE CAST(? AS BIGINT) END WHERE rule_id = ? AND source = ? AND destination = ?"
        f" AND message = ? AND state IN {states} AND version <> ?"  # it may be told once more
        " AND rule_id IN (SELECT id FROM rules WHERE id = ? AND session_id = ?)",
        *(it.version, it.content, now, micros(it.expires_at), it.rule, it.source),
        *(it.destination, it.message, it.version, it.rule, it.session),
    )


def _settle(it: Settled, now: int) -> None:
    # What waits for an operator is not sent by a late report; what was approved is deleted, too.
    states = "('approved')" if it.state == "released" else "('held', 'approved')"
    for start in range(0, len(it.messages), _AT_ONCE):
        part = it.messages[start : start + _AT_ONCE]
        marks = ", ".join("?" * len(part))
        execute(
            "UPDATE held_messages SET state = ?, content = '',"
            " decided_at = COALESCE(decided_at, ?)"
            " WHERE rule_id = ? AND source = ? AND destination = ?"
            f" AND message IN ({marks}) AND state IN {states}"
            " AND rule_id IN (SELECT id FROM rules WHERE id = ? AND session_id = ?)",
            *(it.state, now, it.rule, it.source, it.destination, *part, it.rule, it.session),
        )


def rules_with_some(rules: Collection[int]) -> set[int]:
    """Return which of some rules have messages that wait, for an approval or to be sent."""
    if not rules:
        return set()
    marks = ", ".join("?" * len(rules))
    rows = execute(
        f"SELECT DISTINCT rule_id FROM held_messages WHERE rule_id IN ({marks})"
        " AND state IN ('held', 'approved')",
        *rules,
    )
    return {int(it) for (it,) in rows.fetchall()}


def settle(rule: int, source: int, destination: int, messages: Sequence[int]) -> None:
    """Note that messages of a route were delivered; call it in a transaction."""
    now = micros(utc_now())
    for start in range(0, len(messages), _AT_ONCE):
        part = messages[start : start + _AT_ONCE]
        marks = ", ".join("?" * len(part))
        execute(
            "UPDATE held_messages SET state = 'released', content = '',"
            " decided_at = COALESCE(decided_at, ?) WHERE rule_id = ? AND source = ?"
            f" AND destination = ? AND message IN ({marks}) AND state IN ('held', 'approved')",
            *(now, rule, source, destination, *part),
        )


def listing(
    *,
    after: int | None = None,
    limit: int = 100,
    rule: int | None = None,
    state: str = "",
    owner: str = "",
    ids: Sequence[int] = (),
) -> Page:
    """Return rows with their rules' names, by id; ``owner`` limits them to a user's."""
    query = (
        HeldMessage.select(
            HeldMessage.id,
            HeldMessage.rule.alias("rule_id"),
            Session.name.alias("session"),
            Rule.name.alias("name"),
            HeldMessage.source,
            HeldMessage.destination,
            HeldMessage.message,
            HeldMessage.album,
            HeldMessage.version,
            HeldMessage.state,
            HeldMessage.content,
            HeldMessage.held_at,
            HeldMessage.changed_at,
            HeldMessage.expires_at,
            HeldMessage.decided_at,
            HeldMessage.actor,
        )
        .join(Rule)
        .join(Session)
    )
    if owner:
        query = query.join(User).where(User.name == owner)
    if rule is not None:
        query = query.where(HeldMessage.rule == rule)
    if state:
        query = query.where(HeldMessage.state == state)
    if ids:
        query = query.where(HeldMessage.id.in_(list(ids)))
    return paging.fetch(query, HeldMessage.id, after=after, limit=limit)


def rules_of(ids: Sequence[int], owner: str = "") -> dict[int, int]:
    """Return the rules of some rows, by their ids; ``owner`` limits them to a user's."""
    query = HeldMessage.select(HeldMessage.id, HeldMessage.rule).join(Rule).join(Session)
    if owner:
        query = query.join(User).where(User.name == owner)
    found: dict[int, int] = {}
    for start in range(0, len(ids), _AT_ONCE):
        part = list(ids[start : start + _AT_ONCE])
        found |= dict(query.where(HeldMessage.id.in_(part)).tuples())
    return found


def counts(owner: str = "", rule: int | None = None) -> list[dict[str, Any]]:
    """Return how many messages each rule, or one, has by state."""
    query = (
        HeldMessage.select(
            Rule.id,
            Session.name,
            Rule.name,
            HeldMessage.state,
            fn.COUNT(HeldMessage.id),
        )
        .join(Rule)
        .join(Session)
    )
    if owner:
        query = query.join(User).where(User.name == owner)
    if rule is not None:
        query = query.where(HeldMessage.rule == rule)
    query = query.group_by(Rule.id, Session.name, Rule.name, HeldMessage.state)
    rows = query.order_by(Session.name, Rule.name, HeldMessage.state).tuples()
    names = ("rule_id", "session", "name", "state", "count")
    return [dict(zip(names, row, strict=True)) for row in rows]


def waiting(owner: str = "", rule: int | None = None) -> list[dict[str, Any]]:
    """Return how many messages of each rule, or of one, wait for an approval.

    ``until`` is when the newest of them has changed, in microseconds since 1970.
    """
    query = (
        HeldMessage.select(
            Rule.id,
            Session.name,
            Rule.name,
            fn.COUNT(HeldMessage.id),
            fn.MAX(HeldMessage.changed_at),
        )
        .join(Rule)
        .join(Session)
        .where(HeldMessage.state == "held")
    )
    if owner:
        query = query.join(User).where(User.name == owner)
    if rule is not None:
        query = query.where(HeldMessage.rule == rule)
    rows = query.group_by(Rule.id, Session.name, Rule.name).order_by(Session.name, Rule.name)
    return [
        {
            "rule_id": it[0],
            "session": it[1],
            "name": it[2],
            "count": it[3],
            "until": it[4] if isinstance(it[4], int) else micros(it[4]),
        }
        for it in rows.tuples()
    ]


@dataclass(slots=True, frozen=True)
class Decided:
    """A message that an operator has decided about."""

    id: int
    source: int
    destination: int
    message: int
    version: int
    album: int

    def is_with(self, other: Decided) -> bool:
        """Return whether both are items of one album of a route."""
        return bool(self.album) and (self.source, self.destination, self.album) == (
            *(other.source, other.destination),
            other.album,
        )


def decide(
    rule: int,
    state: str,
    *,
    actor: str,
    ids: Sequence[int] = (),
    until: int | None = None,
    most: int = 1_000,
) -> list[Decided]:
    """Approve, or reject, what waits of a rule: all, or some by their ids.

    At most about ``most``; the items of an album are decided about together. ``until`` leaves
    out what has changed after an instant, in microseconds since 1970. Returns them in the order
    in which they came. Call it in a transaction.
    """
    # Who approves what was approved, and not sent since, has it tried once more.
    states = ("held", "approved") if state == "approved" and ids else ("held",)
    clauses, values = ["rule_id = ?"], [rule]
    clauses.append(f"state IN ({', '.join(map(repr, states))})")
    if ids:
        marks = ", ".join("?" * len(ids))
        clauses.append(
            f"(id IN ({marks}) OR EXISTS (SELECT 1 FROM held_messages o WHERE o.id IN ({marks})"
            " AND o.album <> 0 AND o.rule_id = held_messages.rule_id AND o.album ="
            " held_messages.album AND o.source = held_messages.source"
            " AND o.destination = held_messages.destination))"
        )
        values += [*ids, *ids]
    if until is not None:
        clauses.append("changed_at <= ?")
        values.append(until)
    lock = " FOR UPDATE" if is_postgres() else ""
    rows = execute(
        "SELECT id, source, destination, message, version, album FROM held_messages"
        f" WHERE {' AND '.join(clauses)} ORDER BY id LIMIT ?{lock}",
        *(*values, most + _MOST_IN_ALBUM),
    ).fetchall()
    every = [Decided(*map(int, row)) for row in rows]
    found = every[:most]
    for it in every[most:]:
        if not it.is_with(found[-1]):
            break
        found.append(it)
    if found:
        wiped = ", content = ''" if state == "rejected" else ""
        marks = ", ".join("?" * len(found))
        execute(
            f"UPDATE held_messages SET state = ?, decided_at = ?, actor = ?{wiped}"
            f" WHERE id IN ({marks})",
            *(state, micros(utc_now()), actor[:100], *(it.id for it in found)),
        )
    return found


def has_expired(now: datetime) -> bool:
    """Return whether something has waited for too long, or too much waits."""
    row = execute(
        "SELECT 1 FROM held_messages WHERE state = 'held' AND expires_at < ? LIMIT 1", micros(now)
    ).fetchone()
    return row is not None or bool(_crowded())


def waits(rule: int, until: int | None = None) -> bool:
    """Return whether something of a rule waits that had come by an instant (see ``decide``)."""
    limit = "" if until is None else " AND changed_at <= ?"
    row = execute(
        f"SELECT 1 FROM held_messages WHERE rule_id = ? AND state = 'held'{limit} LIMIT 1",
        *(rule, *(() if until is None else (until,))),
    ).fetchone()
    return row is not None


def _crowded() -> list[tuple[int, int]]:
    """Return the rules of which too many messages wait, each with how many."""
    rows = execute(
        "SELECT rule_id, COUNT(*) FROM held_messages WHERE state = 'held' GROUP BY rule_id"
        " HAVING COUNT(*) > ?",
        MOST,
    ).fetchall()
    return [(int(rule), int(count) - MOST) for rule, count in rows]


def expire(now: datetime, most: int) -> dict[str, int]:
    """Reject at most about ``most`` messages that have waited for too long, or are too many.

    Returns how many of which rule, as ``SESSION/NAME``. Call it in a transaction.
    """
    ids = [
        int(it)
        for (it,) in execute(
            "SELECT id FROM held_messages WHERE state = 'held' AND expires_at < ?"
            " ORDER BY expires_at, id LIMIT ?",
            *(micros(now), most),
        ).fetchall()
    ]
    for rule, count in _crowded():
        ids += [
            int(it)
            for (it,) in execute(
                "SELECT id FROM held_messages WHERE rule_id = ? AND state = 'held'"
                " ORDER BY id LIMIT ?",
                *(rule, min(count, most)),
            ).fetchall()
        ]
    counts_: dict[int, int] = {}
    ids = list(dict.fromkeys(ids))
    for start in range(0, len(ids), _AT_ONCE):
        part = ids[start : start + _AT_ONCE]
        marks = ", ".join("?" * len(part))
        gone = execute(
            "UPDATE held_messages SET state = 'expired', content = '', decided_at = ?"
            f" WHERE id IN ({marks}) AND state = 'held' RETURNING rule_id",
            *(micros(now), *part),
        ).fetchall()
        for (rule,) in gone:
            counts_[int(rule)] = counts_.get(int(rule), 0) + 1
    query = Rule.select(Rule.id, Session.name, Rule.name).join(Session)
    rows = query.where(Rule.id.in_(list(counts_))).order_by(Session.name, Rule.name).tuples()
    return {f"{session}/{name}": counts_[rule] for rule, session, name in rows}


def prune(before: datetime, most: int) -> int:
    """Delete at most ``most`` rows that were decided before an instant; returns how many."""
    cursor = execute(
        "DELETE FROM held_messages WHERE id IN (SELECT id FROM held_messages"
        " WHERE decided_at < ? AND state <> 'held' ORDER BY decided_at LIMIT ?)",
        *(micros(before), most),
    )
    return int(cursor.rowcount)
