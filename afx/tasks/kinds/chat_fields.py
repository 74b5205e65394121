"""How tasks name chats: ``@name``, or a chat's marked id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import StringConstraints

from afx.tasks.kinds.base import Result

ChatName = Annotated[str, StringConstraints(pattern=r"^(@[A-Za-z0-9_]{3,32}|-?[0-9]{1,18})$")]


class ChatResult(Result):
    """A chat, as the account sees it."""

    chat: int
    """Its marked id."""
    title: str


def cursor_number(cursor: Mapping[str, Any], name: str) -> int:
    """Return a number of a cursor; 0 for any other value."""
    value = cursor.get(name)
    return value if type(value) is int and value >= 0 else 0
