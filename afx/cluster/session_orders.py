"""Orders to a node about its sessions, as the arguments of a job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ORDER_PURPOSE = "order"
SESSIONS_AT_ONCE = 100
"""How many sessions one order names at most."""
_INT_LIMIT = 2**63


@dataclass(slots=True, frozen=True)
class SessionOrder:
    """Sessions to start or to stop, given as (session, epoch)."""

    term: int
    """Of the leader that ordered it."""
    sessions: tuple[tuple[int, int], ...]


def encode_order(order: SessionOrder) -> dict[str, Any]:
    """Return an order as a job's arguments."""
    return {"term": order.term, "sessions": [list(it) for it in order.sessions]}


def parse_order(arguments: Mapping[str, Any]) -> SessionOrder:
    """Return the order in a job's arguments; raises ValueError when they are not one."""
    if set(arguments) != {"term", "sessions"}:
        raise ValueError("An order has a term and sessions, and nothing else.")
    term, rows = arguments["term"], arguments["sessions"]
    if not _is_id(term) or not isinstance(rows, list) or len(rows) > SESSIONS_AT_ONCE:
        raise ValueError("The order's term or list of sessions is malformed.")
    sessions = []
    for row in rows:
        if not isinstance(row, list) or len(row) != 2 or not all(_is_id(it) for it in row):
            raise ValueError("An order's session is not a pair of session and epoch.")
        sessions.append((row[0], row[1]))
    return SessionOrder(term, tuple(sessions))


def encode_cancel(tasks: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Return an order to cancel tasks, given as (task, publication)."""
    return {"tasks": [list(it) for it in tasks]}


def parse_cancel(arguments: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Return the tasks to cancel; raises ValueError when the arguments are not such an order."""
    rows = arguments.get("tasks")
    if set(arguments) != {"tasks"} or not isinstance(rows, list) or len(rows) > SESSIONS_AT_ONCE:
        raise ValueError("An order to cancel has a list of tasks, and nothing else.")
    for row in rows:
        if not isinstance(row, list) or len(row) != 2 or not all(_is_id(it) for it in row):
            raise ValueError("A task of an order is not a pair of task and publication.")
    return [(row[0], row[1]) for row in rows]


def _is_id(value: object) -> bool:
    return type(value) is int and 0 <= value < _INT_LIMIT
