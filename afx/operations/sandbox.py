"""Adds accounts of the sandbox as sessions; their logins go into the database alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from afx.operations import sessions
from afx.operations.context import Context, operation

Provision = Callable[[int], list[dict[str, Any]]]
"""Makes so many accounts; returns each with its number and its login."""


@dataclass(slots=True, frozen=True)
class AddedAccount:
    """An account of the sandbox that is a session now."""

    session: str
    id: int
    account: int
    user: str


@operation("session:write", owned=True)
def add_accounts(
    context: Context, names: Sequence[str], user: str, provision: Provision
) -> list[AddedAccount]:
    """Make an account for each name, and add it as a session of a user.

    Raises UsageError for a bad or taken name and an unknown user, before any
    account is made.
    """
    for name in names:
        owner = sessions.check_new(context, name, user)
    return [
        AddedAccount(
            session=name,
            id=sessions.add(context, name, owner, made["login"]),
            account=made["account"],
            user=owner,
        )
        for name, made in zip(names, provision(len(names)), strict=True)
    ]
