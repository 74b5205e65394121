"""The budgets of a session's account: how many requests of each kind it makes, and why."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import redis

from afx.cluster import keys
from afx.cluster.budget_fields import JOINS, PREFIX, StoredBudget, parse_budget, parse_joins
from afx.operations.context import Context, operation
from models.storage import sessions

_MOST = 200
_MOST_ROUNDS = 100
_SCANNED = 1_000
_HOUR_SECONDS = 3_600
_FORGOTTEN_HOURS = 6


@dataclass(slots=True, frozen=True)
class BudgetRow:
    """One budget of an account."""

    of: str
    """A destination, ``all sends``, ``joins``, or a method."""
    per_minute: float | None
    """How many requests are made; None for joins."""
    left: int | None
    """How many chats may be joined now; None for others."""
    since: datetime
    """When the last wait that showed it ended, or the last join was noted."""


@operation("session:read", owned=True)
def budgets(context: Context, name: str) -> tuple[BudgetRow, ...]:
    """Return the budgets of a session, as its node stored them; none while Redis is away."""
    session = sessions.find(name, owner=context.actor.owner)
    client = context.servers.redis_if_running()
    if client is None:
        return ()
    rows = [it for field, value in _fields(client, session.id) if (it := _row(field, value))]
    return tuple(sorted(rows, key=lambda it: it.of))


def _fields(client: redis.Redis, session_id: int) -> Iterator[tuple[str, str]]:
    """Yield the fields of budgets among those of a cursor, which may have many others."""
    at, found = 0, 0
    for _ in range(_MOST_ROUNDS):
        try:
            answer: Any = client.hscan(keys.cursor(session_id), at, f"{PREFIX}*", _SCANNED)
            at, part = answer
        except (redis.ResponseError, UnicodeDecodeError):
            return  # it is malformed: its node says so
        yield from part.items()
        found += len(part)
        if not at or found >= _MOST:
            return


def _row(field: str, value: str) -> BudgetRow | None:
    if field == f"{PREFIX}{JOINS}":
        joins = parse_joins(value)
        if joins is None:
            return None
        return BudgetRow(JOINS, None, int(joins.left), datetime.fromtimestamp(joins.at, UTC))
    budget = parse_budget(field, value)
    if budget is None:
        return None
    hours = int(max(0.0, time.time() - budget.until) // _HOUR_SECONDS)
    if hours >= _FORGOTTEN_HOURS:
        return None
    since = datetime.fromtimestamp(budget.until, UTC)
    return BudgetRow(_named(budget), round(budget.per_minute * 2**hours, 3), None, since)


def _named(budget: StoredBudget) -> str:
    return "all sends" if budget.key == 0 else str(budget.key)
