"""What filters and transforms may ask of a message, computed only when one does.

Entities are Telegram's, or ``Marked`` of a text that was typed; both have ``offset`` and
``length`` in UTF-16 units (core.telegram.org/api/entities). ``afx.telegram.facts`` reads
the rest from Telegram's messages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar, overload

from afx.forwarding.utf16 import part

MEDIA = (
    "text",
    "photo",
    "video",
    "document",
    "audio",
    "voice",
    "round",
    "animation",
    "sticker",
    "contact",
    "location",
    "venue",
    "poll",
    "dice",
    "game",
    "invoice",
    "other",
)
"""Kinds of messages, by what they have besides their text."""
SENDER_KINDS = ("user", "channel")
CAPTIONED = frozenset({"photo", "video", "document", "audio", "voice", "animation"})
"""Kinds that have a caption."""
Value = TypeVar("Value")
_WORD = re.compile(r"\w+")
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE | re.ASCII)
_HOST_ENDS = re.compile(r"[/?#:]")


class lazy(Generic[Value]):  # noqa: N801  reads as a decorator
    """A property that is computed once, without the lock of functools."""

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, instance: None, owner: Any) -> lazy[Value]: ...
    @overload
    def __get__(self, instance: object, owner: Any) -> Value: ...
    def __get__(self, instance: Any, owner: Any) -> Any:
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._compute(instance)
        return value


class Facts:
    """A message as rules see it; here one that is a text of nobody."""

    def __init__(self, text: str, entities: tuple[Any, ...] = (), chat: int = 0, id: int = 0):
        self.text = text
        self.entities = entities
        self.chat = chat
        """The source chat's marked id."""
        self.id = id
        self.sender = 0
        """The marked id of who sent it; 0 when that is not known."""
        self.sender_kind = "user"
        self.media = "text"
        self.album = 0
        """The album that it belongs to; 0 for none."""
        self.size = 0
        """Bytes of its file, 0 for none."""
        self.forwarded = self.reply = self.edited = self.via_bot = False
        self.date = 0
        """When it was sent, in Unix seconds by Telegram's clock."""
        self.buttons: tuple[tuple[tuple[str, str], ...], ...] = ()
        """Rows of inline buttons with links: label and address."""

    @lazy
    def folded(self) -> str:
        """The text without the difference of upper and lower case."""
        return self.text.casefold()

    @lazy
    def words(self) -> str:
        """The words of the text, folded, with one space around each."""
        return spaced(self.text)

    @lazy
    def links(self) -> list[str]:
        """The addresses in the text and behind it."""
        return [
            it.url if kind_of(it) == "TextUrl" else part(self.text, it.offset, it.length)
            for it in self.entities
            if kind_of(it) in ("Url", "TextUrl")
        ]

    @lazy
    def hosts(self) -> frozenset[str]:
        """The hosts of the links, folded."""
        return frozenset(map(host_of, self.links))

    @lazy
    def hashtags(self) -> frozenset[str]:
        """The hashtags, folded, without their sign."""
        return frozenset(it[1:].casefold() for it in self._marked("Hashtag"))

    @lazy
    def mentions(self) -> frozenset[str]:
        """The users who are mentioned: names, folded, without @, or ids."""
        named = {it[1:].casefold() for it in self._marked("Mention")}
        ids = {str(it.user_id) for it in self.entities if kind_of(it) == "MentionName"}
        return frozenset(named | ids)

    @lazy
    def moment(self) -> datetime:
        """When it was sent, in UTC."""
        return datetime.fromtimestamp(self.date, UTC)

    def entity(self, kind: str, offset: int, length: int, url: str = "") -> Any:
        """Return an entity, of a kind such as ``Bold``; only a ``TextUrl`` has an address."""
        return Marked(kind, offset, length, url)

    def text_link(self, offset: int, length: int, url: str) -> Any:
        """Return an entity that lays a link on a part of a text."""
        return self.entity("TextUrl", offset, length, url)

    def _marked(self, kind: str) -> Iterator[str]:
        return (
            part(self.text, it.offset, it.length) for it in self.entities if kind_of(it) == kind
        )


@dataclass(slots=True, frozen=True)
class Marked:
    """An entity of a text that was typed, as Telegram would find it."""

    kind: str
    offset: int
    length: int
    url: str = ""


def kind_of(entity: Any) -> str:
    """Return an entity's kind as Telegram names it, such as ``TextUrl``."""
    if isinstance(entity, Marked):
        return entity.kind
    return type(entity).__name__.removeprefix("MessageEntity").removeprefix("InputMessageEntity")


def spaced(text: str) -> str:
    """Return a text's words, folded, with one space before, between and after them."""
    return f" {' '.join(_WORD.findall(text.casefold()))} "


def host_of(link: str) -> str:
    """Return the host of an address, folded: ``https://User@Example.org:80/x`` → example.org."""
    rest = _SCHEME.sub("", link)
    rest = _HOST_ENDS.split(rest.partition("/")[0].rpartition("@")[2], maxsplit=1)[0]
    return rest.casefold().removeprefix("www.")
