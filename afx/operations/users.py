"""Users: the customers who own sessions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from afx.errors import UsageError
from afx.operations.changes import change
from afx.operations.context import Context, operation
from afx.operations.pages import Page, page_of
from models.accounts import User
from models.storage import sessions, users
from models.storage.sessions import SessionFilter

_SESSIONS_SHOWN = 20


@dataclass(slots=True, frozen=True)
class UserRow:
    """One user of a list."""

    id: int
    name: str
    tier: str
    sessions: int
    created_at: datetime


@dataclass(slots=True, frozen=True)
class UserDetail:
    """One user, with the first of the user's sessions."""

    id: int
    name: str
    tier: str
    created_at: datetime
    task_share: int
    """How many of its tasks run for each one of a user with share 1."""
    task_limit: int | None
    """How many unfinished tasks it may have; None: as many as anybody."""
    sessions: tuple[str, ...]
    """Names; the last one is ``…`` when there are more."""


@operation("user:read")
def listing(
    context: Context,
    *,
    after: Any = None,
    limit: int = 100,
    tier: str | None = None,
    sort: str = "name",
) -> Page[UserRow]:
    """Return users with their number of sessions, by name or by id."""
    del context
    return page_of(UserRow, users.listing(after=after, limit=limit, tier=tier, sort=sort))


@operation("user:read", owned=True)
def show(context: Context, name: str) -> UserDetail:
    """Return one user; raises UsageError when there is none."""
    context.require_owner(name)
    return _detail(users.find(name, owner=context.actor.owner))


def _detail(user: User) -> UserDetail:
    owned = sessions.listing(SessionFilter(user=user.name), limit=_SESSIONS_SHOWN)
    names = tuple(it["name"] for it in owned.rows) + (("…",) if owned.next else ())
    return UserDetail(
        id=user.id,
        name=user.name,
        tier=user.tier,
        created_at=user.created_at,
        task_share=user.task_share,
        task_limit=user.task_limit,
        sessions=names,
    )


@operation("user:read")
def names_beginning(context: Context, prefix: str) -> list[str]:
    """Return a few users' names that begin with a text."""
    del context
    return users.names_beginning(prefix)


@operation("user:write")
def add(context: Context, name: str, tier: str) -> None:
    """Add a user; raises UsageError for a bad or taken name and a bad tier."""
    with change(context, "user.add", f"user/{name}") as details:
        users.create(name, tier)
        details["after"] = {"tier": tier}


@operation("user:write")
def set_tier(context: Context, name: str, tier: str) -> tuple[str, str]:
    """Change a user's tier; returns (full name, the tier before)."""
    user = users.find(name)
    _alter(context, user, tier=tier)
    return user.name, user.tier


@operation("user:write")
def set_task_share(
    context: Context, name: str, *, share: int | None = None, limit: int | None = None
) -> UserDetail:
    """Change a user's share of the queues of tasks, and its limit; returns the user.

    What is None stays. A limit of 0 is no limit of its own. Raises UsageError for a number
    out of range.
    """
    return _alter(context, users.find(name), share=share, limit=limit)


@operation("user:write")
def alter(
    context: Context,
    name: str,
    *,
    tier: str | None = None,
    share: int | None = None,
    limit: int | None = None,
) -> UserDetail:
    """Change several things of a user at once (see ``set_tier`` and ``set_task_share``)."""
    if tier is None and share is None and limit is None:
        raise UsageError("Say what is to be changed; nothing was.")
    return _alter(context, users.find(name), tier=tier, share=share, limit=limit)


def _alter(
    context: Context,
    user: User,
    *,
    tier: str | None = None,
    share: int | None = None,
    limit: int | None = None,
) -> UserDetail:
    """Change what is not None, in one transaction with one entry of the audit log."""
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    new_share: int = user.task_share if share is None else share
    new_limit: int | None = user.task_limit if limit is None else limit or None
    if tier is not None:
        before["tier"], after["tier"] = user.tier, tier
    if share is not None or limit is not None or tier is None:
        before |= {"share": user.task_share, "limit": user.task_limit}
        after |= {"share": new_share, "limit": new_limit}
    action = "user.tasks" if tier is None else "user.tier" if len(after) == 1 else "user.change"
    with change(context, action, f"user/{user.name}") as details:
        if tier is not None:
            users.set_tier(user, tier)
        if "share" in after:
            users.set_task_share(user, share=new_share, limit=new_limit)
        details.update({"before": before, "after": after})
    found = _detail(user)
    return replace(found, tier=tier or found.tier, task_share=new_share, task_limit=new_limit)


@operation("user:write")
def remove(context: Context, name: str) -> str:
    """Remove a user without sessions; returns the full name."""
    user = users.find(name)
    with change(context, "user.remove", f"user/{user.name}") as details:
        users.remove(user)
        details["before"] = {"tier": user.tier}
    return str(user.name)
