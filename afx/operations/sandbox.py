"""Adds accounts of the sandbox as sessions; their logins go into the database alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from afx.errors import UsageError
from afx.operations import sessions
from afx.operations.change import Operator
from afx.security.vault import Vault
from models.names import check_name
from models.storage import users
from models.storage.sessions import taken

Provision = Callable[[int], list[dict[str, Any]]]
"""Makes so many accounts; returns each with its number and its login."""


@dataclass(slots=True, frozen=True)
class AddedAccount:
    """An account of the sandbox that is a session now."""

    session: str
    id: int
    account: int
    user: str


def add_accounts(
    operator: Operator, vault: Vault, names: Sequence[str], user: str, provision: Provision
) -> list[AddedAccount]:
    """Make an account for each name, and add it as a session of a user.

    Raises UsageError for a bad or taken name and an unknown user, before any
    account is made.
    """
    owner = users.find(user).name
    for it in names:
        check_name("session", it)
    if existing := taken([(it, None) for it in names])[0]:
        name = min(existing)
        raise UsageError(f"There is a session '{name}' already; choose another name.")
    return [
        AddedAccount(
            session=name,
            id=sessions.add(operator, vault, name, owner, made["login"]),
            account=made["account"],
            user=owner,
        )
        for name, made in zip(names, provision(len(names)), strict=True)
    ]
