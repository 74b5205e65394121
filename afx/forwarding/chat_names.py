"""What rules call chats that have no name: ``+HASH`` of an invite link, and ``me``.

Source: core.telegram.org/api/links, "Chat invite links"; /api/saved-messages.
"""

from __future__ import annotations

import re

SIGN = "+"
ME = "me"
"""The account's own chat, the Saved Messages."""
_LINK = re.compile(
    r"(?:(?:https?://)?t\.me/(?:joinchat/|\+)|tg://join\?invite=|\+)([A-Za-z0-9_-]{10,64})/?",
    re.ASCII,
)


def invite_reference(text: str) -> str | None:
    """Return a chat's invite link as rules store it; None for what is none.

    Digits alone are a phone's number.
    """
    found = _LINK.fullmatch(text.strip())
    return None if found is None or found[1].isdecimal() else f"{SIGN}{found[1]}"


def is_invite(chat: str) -> bool:
    """Return whether a rule names a chat by its invite link."""
    return chat.startswith(SIGN)


def has_id(chat: str) -> bool:
    """Return whether a rule names a chat by its id, not by a name or an invite link."""
    return chat != ME and not chat.startswith(("@", SIGN))
