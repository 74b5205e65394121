"""What an account's budgets are as fields of its session's cursor in Redis.

A field is ``budget:KEY``, where KEY is a destination, 0 for all sends, or a method; its
value is ``PER_MINUTE:UNTIL``: how many requests a minute, and the end of the wait that showed
it, in Unix seconds. The budget of joins is ``LEFT:AT:NEXT``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

JOINS = "joins"
PREFIX = "budget:"
_FIELD = re.compile(r"budget:(?:(-?[0-9]{1,19})|([a-z]{1,20}\.[A-Za-z]{1,60}))", re.ASCII)
_VALUE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?):([0-9]{1,11})", re.ASCII)
_JOINS = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3})?):([0-9]{1,11}):([0-9]{1,11})", re.ASCII)


@dataclass(slots=True, frozen=True)
class StoredBudget:
    """How many requests of one kind an account makes."""

    key: int | str
    """A destination, 0 for all sends, or a method."""
    per_minute: float
    until: float
    """When the last wait that showed it ended, in Unix seconds."""


@dataclass(slots=True, frozen=True)
class StoredJoins:
    """How many chats an account may join."""

    left: float
    at: float
    """When so many were left, in Unix seconds."""
    next: float
    """When the next one may be, in Unix seconds."""


def field_of(key: int | str) -> str:
    """Return the field of a budget."""
    return f"{PREFIX}{key}"


def budget_value(budget: StoredBudget) -> str:
    """Return a budget as its field has it."""
    return f"{budget.per_minute:.3f}:{budget.until:.0f}"


def joins_value(joins: StoredJoins) -> str:
    """Return the budget of joins as its field has it."""
    return f"{joins.left:.3f}:{joins.at:.0f}:{joins.next:.0f}"


def parse_budget(field: str, value: str) -> StoredBudget | None:
    """Return the budget of a field; None for what is none, or malformed."""
    name, text = _FIELD.fullmatch(field), _VALUE.fullmatch(value)
    if name is None or text is None or not float(text[1]):
        return None
    return StoredBudget(name[2] or int(name[1]), float(text[1]), float(text[2]))


def parse_joins(value: str) -> StoredJoins | None:
    """Return the budget of joins; None for what is malformed."""
    text = _JOINS.fullmatch(value)
    return None if text is None else StoredJoins(float(text[1]), float(text[2]), float(text[3]))
