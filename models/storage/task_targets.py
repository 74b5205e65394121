"""The sessions that a task is submitted for, with what decides about its queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.tables import Session, User

_PART = 500


@dataclass(slots=True, frozen=True)
class Target:
    """A session, its user, and the user's tier."""

    session: int
    name: str
    user: int
    tier: str


def of_sessions(ids: Sequence[int]) -> list[Target]:
    """Return sessions by id, in the order of their ids."""
    found: list[Target] = []
    for start in range(0, len(ids), _PART):
        found += _targets(Session.id.in_(list(ids[start : start + _PART])))
    return found


def of_user(user: int | None) -> list[Target]:
    """Return all sessions of a user; of all users for None."""
    return _targets(True if user is None else Session.user == user)


def _targets(condition: object) -> list[Target]:
    query = (
        Session.select(Session.id, Session.name, User.id, User.tier)
        .join(User)
        .where(condition)
        .where(~Session.removing)
        .order_by(Session.id)
    )
    return [Target(*row) for row in query.tuples()]
