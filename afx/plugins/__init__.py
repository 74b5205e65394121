"""The protocol of plug-ins: what changes, or drops, the copies of a rule.

A plug-in is an entry point of the group ``afx.transforms`` (in ``pyproject.toml``:
``[project.entry-points."afx.transforms"]``) that names an async function::

    async def translate(message: Message, settings: Mapping[str, str]) -> Message | Drop | None:
        return message.with_text(message.text.upper())

It is called for each copy of a rule that names it, after the rule's own transforms, on a loop in
a thread of its own: it may wait, and what it computes holds up no session. A message is called
again after a crash, so a plug-in has no effects that must not come twice.

Where its rule says ``files: SIZE`` it is called for messages with a file only, in a process of its
own, with the file on disk (``message.file``)::

    async def mark(message: Message, settings: Mapping[str, str]) -> Message | Drop | None:
        subprocess.run(["convert", message.file.path, …, "marked.jpg"], check=True)
        return message.with_file("marked.jpg")

The working directory is one of this message alone, and is removed afterwards.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

GROUP = "afx.transforms"


@dataclass(slots=True, frozen=True)
class File:
    """The file of a message, on disk."""

    path: str
    name: str
    mime_type: str
    size: int = 0
    """Its bytes."""


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
    file: File | None = None
    """Its file, for plug-ins whose rule says ``files``."""

    def with_text(self, text: str) -> Message:
        """Return it with another text, without formatting."""
        return replace(self, text=text, entities=())

    def with_file(self, path: str, name: str = "", mime_type: str = "") -> Message:
        """Return it with another file, named and typed as its own unless that is said.

        ``path`` lies in the working directory. Raises ValueError if it has no file.
        """
        if self.file is None:
            raise ValueError("this message has no file that another one could replace")
        file = self.file
        return replace(self, file=File(path, name or file.name, mime_type or file.mime_type))


@dataclass(slots=True, frozen=True)
class Drop:
    """The message is not to be sent."""


Hook = Callable[[Message, Mapping[str, str]], Awaitable[Message | Drop | None]]
"""Returns the message as it is to be sent, ``Drop``, or None to leave it as it is."""


class NotInstalledError(Exception):
    """There is no plug-in of a name on this machine; its text says so."""


def installed(name: str) -> Hook:
    """Return a plug-in by its name; raises NotInstalledError, and whatever its import raises."""
    from importlib.metadata import entry_points  # a tenth of the start of a plug-in's process

    found = list(entry_points(group=GROUP, name=name))
    if not found:
        raise NotInstalledError(f"the plug-in {name!r} is not installed here")
    hook: Hook = found[0].load()
    return hook
