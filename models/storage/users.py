"""Users: the customers who own sessions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import peewee
from peewee import fn

from afx.errors import ConflictError, UsageError, printable
from models import names, sorting
from models.base import transaction
from models.paging import Page
from models.sorting import Column
from models.storage import task_owners
from models.tables import TIERS, Session, User

LARGEST_SHARE = 100
_ORDERS = {"name": Column(User.name), "id": Column(User.id)}


def create(name: str, tier: str = "free") -> User:
    """Add a user; raises UsageError when the name is taken or the tier unknown."""
    _check_tier(tier)
    names.check_name("user", name)
    try:
        with transaction():
            user: User = User.create(name=name, tier=tier)
            return user
    except peewee.IntegrityError as error:
        raise ConflictError(f"There is a user '{name}' already; choose another name.") from error


def find(text: str, *, owner: str = "") -> User:
    """Return a user by name, id or unique prefix; raises UsageError when there is none.

    With ``owner``, a user's name, only that user is considered.
    """
    user: User = names.find(User, "user", text, within=User.name == owner if owner else True)
    return user


def set_tier(user: User, tier: str) -> None:
    """Change a user's tier; it takes effect with the next placement.

    Raises UsageError for an unknown tier.
    """
    _check_tier(tier)
    with transaction():
        User.update(tier=tier).where(User.id == user.id).execute()


def set_task_share(user: User, *, share: int, limit: int | None) -> None:
    """Change a user's share of the queues of tasks, and how many tasks it may have.

    Raises UsageError for a share or a limit out of range.
    """
    if not 1 <= share <= LARGEST_SHARE:
        raise UsageError(f"A share is a number from 1 to {LARGEST_SHARE}; choose another one.")
    if limit is not None and not 0 <= limit < 2**31:
        raise UsageError("A limit is a number of tasks from 0 on; choose another one.")
    with transaction():
        User.update(task_share=share, task_limit=limit).where(User.id == user.id).execute()


def task_limits(ids: Sequence[int]) -> dict[int, int]:
    """Return how many unfinished tasks users may have: those with a limit of their own."""
    found: dict[int, int] = {}
    for start in range(0, len(ids), 500):
        query = User.select(User.id, User.task_limit).where(
            User.id.in_(list(ids[start : start + 500])) & User.task_limit.is_null(False)
        )
        found |= {int(user): int(limit) for user, limit in query.tuples()}
    return found


def remove(user: User) -> None:
    """Remove a user that owns no session; raises UsageError otherwise."""
    try:
        with transaction():
            user.delete_instance()
            task_owners.forget_user(user.id)
    except peewee.IntegrityError as error:
        raise ConflictError(f"User '{user.name}' owns sessions; remove them first.") from error


def listing(
    *, after: Any = None, limit: int = 100, tier: str | None = None, sort: str = "name"
) -> Page:
    """Return users with their number of sessions, by name or by id."""
    owned = Session.select(fn.COUNT(Session.id)).where(Session.user == User.id)
    query = User.select(User.id, User.name, User.tier, owned.alias("sessions"), User.created_at)
    if tier is not None:
        _check_tier(tier)
        query = query.where(User.tier == tier)
    return sorting.fetch(query, _ORDERS, sort, after=after, limit=limit)


def count_by_tier() -> dict[str, int]:
    """Return the number of users of each tier."""
    query = User.select(User.tier, fn.COUNT(User.id)).group_by(User.tier)
    return {str(tier): int(count) for tier, count in query.tuples()}


def names_beginning(prefix: str) -> list[str]:
    """Return, for completion, users' names that begin with a text."""
    return names.completions(User.select(User.name), User.name, prefix)


def _check_tier(tier: str) -> None:
    if tier not in TIERS:
        raise UsageError(f"There is no tier '{printable(tier)}'; use premium or free.")
