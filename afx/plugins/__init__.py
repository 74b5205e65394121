"""The protocol of plug-ins: what changes, or drops, the copies of a rule.

A plug-in is an entry point of the group ``afx.transforms`` (in ``pyproject.toml``:
``[project.entry-points."afx.transforms"]``) that names an async function::

    async def translate(message: Message, settings: Mapping[str, str]) -> Message | Drop | None:
        return message.with_text(message.text.upper())

It is called for each copy of a rule that names it, after the rule's own transforms, on a loop in
a thread of its own: it may wait, and what it computes holds up no session. A message is called
again after a crash, so a plug-in has no effects that must not come twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

GROUP = "afx.transforms"


@dataclass(slots=True, frozen=True)
class Message:
    """One copy, before it is sent."""

    text: str
    """The text, or the caption."""
    entities: tuple[Any, ...] = ()
    """Telethon's ``MessageEntity…``; offsets and lengths are in UTF-16 units."""
    media: str = "text"
    """What it has besides: photo, video, document, …; see the condition ``media``."""
    source: int = 0
    """The chat that it comes from, as a marked id, and its id there."""
    number: int = 0
    rule: int = 0
    is_edit: bool = False
    """The copy exists, and is edited."""

    def with_text(self, text: str) -> Message:
        """Return it with another text, without formatting."""
        return replace(self, text=text, entities=())


@dataclass(slots=True, frozen=True)
class Drop:
    """The message is not to be sent."""


Hook = Callable[[Message, Mapping[str, str]], Awaitable[Message | Drop | None]]
"""Returns the message as it is to be sent, ``Drop``, or None to leave it as it is."""
