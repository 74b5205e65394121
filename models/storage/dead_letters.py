"""Dead letters: what could not be delivered, by rule, route and reason.

A row holds up to 256 neighbouring ids of one source. A message is in one row of its route
only, that of its newest reason, so what is reported twice counts once; but an edit and a pin
of its copy may both be refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from peewee import fn

from models import sorting
from models.base import execute, is_postgres, micros, utc_now
from models.paging import Page
from models.sorting import Column
from models.tables import DeadLetter, Rule, Session, User

BLOCK = 256
_CHANGES = "'edit_refused', 'delete_refused', 'pin_refused', 'topic_refused'"
"""Reasons of messages that were delivered, and whose copies could not be changed."""
_ORDERS = {"id": Column(DeadLetter.id), "last_at": Column(DeadLetter.last_at, DeadLetter.id)}
_BESIDE = frozenset({"edit_refused", "pin_refused", "topic_refused"})
"""Reasons that leave each other as they are; a delete leaves nothing to be edited or pinned."""


@dataclass(slots=True, frozen=True)
class Undelivered:
    """Messages of one route that have become dead letters, or are none any more."""

    session: int
    rule: int
    source: int
    destination: int
    messages: Sequence[int]
    reason: str = ""
    """Empty: they are to be tried again."""
    error: str = ""
    attempts: int = 1


@dataclass(slots=True)
class _Row:
    """A row as it is stored, and as it is to be."""

    stored: frozenset[int]
    messages: set[int]
    id: int | None = None
    error: str = ""
    attempts: int = 0
    is_reported: bool = False


def note(items: Iterable[Undelivered]) -> dict[int, int]:
    """Add dead letters, or remove them, in the given order; call it in a transaction.

    Those of a rule that the session does not have are left out. Each row is written once,
    however many of the items are about it. Returns how many are new, by rule: what is
    reported twice is not.
    """
    fresh: dict[int, int] = defaultdict(int)
    blocks: dict[tuple[int, int, int, int, int], list[tuple[Undelivered, set[int]]]] = {}
    for it in items:
        parts: dict[int, set[int]] = defaultdict(set)
        for message in it.messages:
            parts[message // BLOCK].add(message)
        for block, messages in parts.items():
            key = (it.session, it.rule, it.source, it.destination, block)
            blocks.setdefault(key, []).append((it, messages))
    for key, noted in blocks.items():
        rows = _rows(*key)
        for it, messages in noted:
            for reason, row in rows.items():
                if reason != it.reason and not {reason, it.reason} <= _BESIDE:
                    row.messages -= messages
            if it.reason:
                row = rows.setdefault(it.reason, _Row(frozenset(), set()))
                fresh[it.rule] += len(messages - row.messages)
                row.messages |= messages
                row.error, row.is_reported = it.error, True
                row.attempts = max(row.attempts, it.attempts)
        for reason, row in rows.items():
            _write(key, reason, row)
    return dict(fresh)


def _rows(session: int, rule: int, source: int, destination: int, block: int) -> dict[str, _Row]:
    """Return a route's rows of a block by reason; others wait until the transaction ends."""
    rows = execute(
        "SELECT d.id, d.reason, d.messages, d.error, d.attempts"
        " FROM dead_letters d JOIN rules r ON r.id = d.rule_id"
        " WHERE d.rule_id = ? AND d.source = ? AND d.destination = ? AND d.block = ?"
        f" AND r.session_id = ? ORDER BY d.id{' FOR UPDATE OF d' if is_postgres() else ''}",
        *(rule, source, destination, block, session),
    ).fetchall()
    found = {}
    for row_id, reason, text, error, attempts in rows:
        stored = frozenset(decode(text))
        found[reason] = _Row(stored, set(stored), row_id, error, attempts)
    return found


def _write(key: tuple[int, int, int, int, int], reason: str, row: _Row) -> None:
    session, rule, source, destination, block = key
    now = micros(utc_now())
    values = (row.error, encode(row.messages), len(row.messages), row.attempts)
    if not row.messages:
        if row.id is not None:
            execute("DELETE FROM dead_letters WHERE id = ?", row.id)
    elif row.id is None:
        execute(
            "INSERT INTO dead_letters (rule_id, source, destination, block, reason, error,"
            " messages, count, attempts, first_at, last_at)"
            " SELECT id, CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT),"
            " CAST(? AS VARCHAR(40)), CAST(? AS VARCHAR(100)), CAST(? AS TEXT),"
            " CAST(? AS INTEGER), CAST(? AS INTEGER), CAST(? AS BIGINT), CAST(? AS BIGINT)"
            " FROM rules WHERE id = ? AND session_id = ?",
            *(source, destination, block, reason, *values, now, now, rule, session),
        )
    elif row.is_reported:
        execute(
            "UPDATE dead_letters SET error = ?, messages = ?, count = ?, attempts = ?,"
            " last_at = ? WHERE id = ?",
            *(*values, now, row.id),
        )
    elif row.messages != row.stored:
        execute(
            "UPDATE dead_letters SET messages = ?, count = ? WHERE id = ?",
            *(*values[1:3], row.id),
        )


def rules_with_some(rules: Collection[int]) -> set[int]:
    """Return which of some rules have dead letters."""
    if not rules:
        return set()
    marks = ", ".join("?" * len(rules))
    rows = execute(f"SELECT DISTINCT rule_id FROM dead_letters WHERE rule_id IN ({marks})", *rules)
    return {it for (it,) in rows.fetchall()}


def settle(rule: int, source: int, destination: int, messages: Iterable[int]) -> None:
    """Remove messages of a route that were delivered all the same; call it in a transaction.

    What is wrong with changes of their copies stays.
    """
    delivered = set(messages)
    blocks = sorted({it // BLOCK for it in delivered})
    if not blocks:
        return
    marks = ", ".join("?" * len(blocks))
    rows = execute(
        "SELECT id, messages FROM dead_letters WHERE rule_id = ? AND source = ?"
        f" AND destination = ? AND block IN ({marks}) AND reason NOT IN ({_CHANGES})"
        f" ORDER BY id{' FOR UPDATE' if is_postgres() else ''}",
        *(rule, source, destination, *blocks),
    ).fetchall()
    for row, text in rows:
        before = set(decode(text))
        left = before - delivered
        if not left:
            execute("DELETE FROM dead_letters WHERE id = ?", row)
        elif left != before:
            execute(
                "UPDATE dead_letters SET messages = ?, count = ? WHERE id = ?",
                *(encode(left), len(left), row),
            )


def listing(
    *,
    after: Any = None,
    limit: int = 100,
    rule: int | None = None,
    reason: str = "",
    owner: str = "",
    sort: str = "id",
) -> Page:
    """Return rows with their rules' names, by id or ``last_at``, of a user's if ``owner``."""
    query = (
        DeadLetter.select(
            DeadLetter.id,
            DeadLetter.rule.alias("rule_id"),
            Session.name.alias("session"),
            Rule.name.alias("name"),
            DeadLetter.source,
            DeadLetter.destination,
            DeadLetter.reason,
            DeadLetter.error,
            DeadLetter.messages,
            DeadLetter.count,
            DeadLetter.attempts,
            DeadLetter.first_at,
            DeadLetter.last_at,
        )
        .join(Rule)
        .join(Session)
    )
    if owner:
        query = query.join(User).where(User.name == owner)
    if rule is not None:
        query = query.where(DeadLetter.rule == rule)
    if reason:
        query = query.where(DeadLetter.reason == reason)
    return sorting.fetch(query, _ORDERS, sort, after=after, limit=limit)


def count(rule: int) -> int:
    """Return how many messages of a rule are dead letters."""
    row: Any = execute(
        "SELECT COALESCE(SUM(count), 0) FROM dead_letters WHERE rule_id = ?", rule
    ).fetchone()
    return int(row[0])


def counts(owner: str = "", rule: int | None = None) -> list[dict[str, Any]]:
    """Return how many messages each rule, or one, has as dead letters, by reason."""
    total = fn.SUM(DeadLetter.count)
    query = (
        DeadLetter.select(
            Rule.id,
            Session.name.alias("session"),
            Rule.name.alias("name"),
            DeadLetter.reason,
            total,
        )
        .join(Rule)
        .join(Session)
    )
    if owner:
        query = query.join(User).where(User.name == owner)
    if rule is not None:
        query = query.where(DeadLetter.rule == rule)
    query = query.group_by(Rule.id, Rule.name, Session.name, DeadLetter.reason)
    rows = query.order_by(Session.name, Rule.name, DeadLetter.reason).tuples()
    names = ("rule_id", "session", "name", "reason", "count")
    return [dict(zip(names, (*row[:4], int(row[4])), strict=True)) for row in rows]


def drop(rule: int, rows: Iterable[tuple[int, str]]) -> int:
    """Delete a rule's rows, given as (id, messages); returns how many messages they held.

    A row that has other messages by now stays.
    """
    found = 0
    for row, messages in rows:
        gone = execute(
            "DELETE FROM dead_letters WHERE id = ? AND rule_id = ? AND messages = ?"
            " RETURNING count",
            *(row, rule, messages),
        ).fetchall()
        found += sum(int(count_) for (count_,) in gone)
    return found


def has_older(before: datetime) -> bool:
    """Return whether a row got its last message before an instant."""
    cursor = execute("SELECT 1 FROM dead_letters WHERE last_at < ? LIMIT 1", micros(before))
    return cursor.fetchone() is not None


def expire(before: datetime, most: int) -> dict[str, int]:
    """Delete at most ``most`` rows that got their last message before an instant.

    Returns how many messages of which rule, as ``SESSION/NAME``, they held.
    """
    gone = execute(
        "DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters WHERE last_at < ?"
        " ORDER BY last_at, id LIMIT ?) RETURNING rule_id, count",
        *(micros(before), most),
    ).fetchall()
    counts: dict[int, int] = defaultdict(int)
    for rule, held in gone:
        counts[int(rule)] += int(held)
    query = Rule.select(Rule.id, Session.name, Rule.name).join(Session)
    rows = query.where(Rule.id.in_(list(counts))).order_by(Session.name, Rule.name).tuples()
    return {f"{session}/{name}": counts[rule] for rule, session, name in rows}


def encode(messages: Iterable[int]) -> str:
    """Return ids as they are stored, for example ``1-3,9``."""
    runs: list[list[int]] = []
    for it in sorted(messages):
        if runs and runs[-1][1] == it - 1:
            runs[-1][1] = it
        else:
            runs.append([it, it])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def decode(text: str) -> list[int]:
    """Return stored ids, in their order."""
    found: list[int] = []
    for run in text.split(","):
        first, _, last = run.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found
