"""Users: the customers who own sessions."""

from __future__ import annotations

import peewee

from afx.errors import UsageError
from models.base import transaction
from models.tables import User


def create(name: str, tier: str = "free") -> User:
    """Add a user; raises UsageError when the name is taken or the tier unknown."""
    if tier not in ("premium", "free"):
        raise UsageError(f"There is no tier '{tier}'; use premium or free.")
    try:
        with transaction():
            user: User = User.create(name=name, tier=tier)
            return user
    except peewee.IntegrityError as error:
        raise UsageError(f"There is a user '{name}' already; choose another name.") from error


def find(name: str) -> User:
    """Return a user by name; raises UsageError when there is none."""
    user: User | None = User.get_or_none(User.name == name)
    if user is None:
        raise UsageError(f"There is no user '{name}'; 'afx user list' shows them all.")
    return user


def remove(name: str) -> None:
    """Remove a user who owns no session; raises UsageError for one who does."""
    user = find(name)
    try:
        with transaction():
            user.delete_instance()
    except peewee.IntegrityError as error:
        raise UsageError(f"User '{name}' owns sessions; remove these first.") from error


def all_users() -> list[User]:
    """Return every user, by name."""
    return list(User.select().order_by(User.name))
