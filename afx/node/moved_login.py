"""The login of an account in the data centre that it has moved to, stored beside its cursors.

The login in SQL stays as it is: it signs in anew where this one is refused. Without this one each
restart would be sent on once more, and the account's list of devices would grow each time. It is
sealed for its session and says of which login it is: one that was signed in again has another.
Source: core.telegram.org/api/datacenter ("User Migration").
"""

from __future__ import annotations

import hashlib
from typing import Any

from afx.errors import SecretError
from afx.node.sealer import Sealer
from afx.telegram.client import AccountClient
from afx.telegram.session import StoredSession

FIELD = "moved"
"""Of the cursor hash."""


def resume(
    client: AccountClient, stored: StoredSession, sealer: Sealer | None, session_id: int
) -> str | None:
    """Let a client begin where its account has moved to; returns what is stored of that.

    "" for nothing, and None for what is of no use any more.
    """
    sealed = stored.cursors.pop(FIELD, "")
    if not sealed or sealer is None:
        return ""
    try:
        mark, _, login = sealer.open(sealed, session_id=session_id).partition(" ")
        if mark == _mark(stored.auth_key.key):
            client.resume(login)
            return login
    except (SecretError, ValueError):
        pass  # of another key: the account is asked anew where it is
    return None


def fields(
    client: AccountClient, sealer: Sealer | None, session_id: int, known: str | None
) -> tuple[list[str], str | None]:
    """Return what is to be stored, as field and value, and what is known to be stored then.

    ``known`` is what ``resume``, or the last call, has returned; None: nobody knows.
    """
    login = client.elsewhere
    if login == known or sealer is None:
        return [], known
    sealed = f"{_mark(client.stored_key)} {login}"
    return [FIELD, sealer.seal(sealed, session_id=session_id) if login else ""], login


def _mark(key: Any) -> str:
    return hashlib.sha256(b"afx moved login 1\0" + key).hexdigest()[:32]
