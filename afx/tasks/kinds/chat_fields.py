"""How tasks name chats: ``@name``, a chat's marked id, an invite link, or ``me``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, StringConstraints

from afx.forwarding.chat_names import invite_reference
from afx.tasks.kinds.base import Result

_PATTERN = r"^(me|@[A-Za-z0-9_]{3,32}|-?[0-9]{1,18}|\+[A-Za-z0-9_-]{10,64})$"


def _plain(value: Any) -> Any:
    """Return an invite link as ``+HASH``, anything else as it is."""
    return (isinstance(value, str) and invite_reference(value)) or value


ChatName = Annotated[str, BeforeValidator(_plain), StringConstraints(pattern=_PATTERN)]


class ChatResult(Result):
    """A chat, as the account sees it."""

    chat: int
    """Its marked id."""
    title: str


def cursor_number(cursor: Mapping[str, Any], name: str) -> int:
    """Return a number of a cursor; 0 for any other value."""
    value = cursor.get(name)
    return value if type(value) is int and value >= 0 else 0
