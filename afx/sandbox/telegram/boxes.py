"""Messages, and the boxes that number them and log what happened to them.

A channel has a box of its own; what happens in private chats and basic groups
has a copy, with its own id and pts, in each participant's box.
Source: core.telegram.org/api/updates.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Literal, NamedTuple, Protocol

EventKind = Literal["new", "edit", "delete", "pin", "unpin"]
_by_pts = attrgetter("pts")
_TRIM = 1000
"""Events beyond the limit that may lie in a log before they are dropped together."""


class Media(Protocol):
    """What a message may carry besides its text."""

    @property
    def key(self) -> Hashable:
        """What it is to a reader: equal for two that say the same."""

    def view(self) -> Any:
        """Return it as the TL media of a message, the same for every viewer."""


class Content(NamedTuple):
    """What a message says: all that an edit can change."""

    text: str
    entities: list[Any]
    media: Media | None


@dataclass(slots=True, eq=False)
class Message:
    """One message as it lies in a channel or in one account's box."""

    id: int
    chat: int
    sender: int
    text: str
    entities: list[Any]
    date: int
    sent_at: float
    out: bool = False
    random_id: int | None = None
    forwarded: tuple[int, int, int] | None = None
    """(origin chat, origin message id, origin date) of a forward."""
    reply_to: int | None = None
    """The message in the same chat that it answers."""
    topic: int = 0
    """The forum topic that it lies in; 0 for General, or where there are none."""
    edited: int | None = None
    pinned: bool = False
    noforwards: bool = False
    """This message alone may not be forwarded."""
    silent: bool = False
    """It was posted without a sound."""
    above: bool = False
    """Its text stands above its media, or above the preview of its link."""
    no_preview: bool = False
    """Its author wants no preview of its links."""
    action: Any = None
    """What a service message says, as TL."""
    media: Media | None = None
    grouped: int | None = None
    """The album that it belongs to."""
    twins: tuple[tuple[int, int], ...] = ()
    """(account, message id) of each participant's copy, outside channels."""
    copied_from: tuple[int, int] | None = None
    """(chat, message id) of what a forward took, whether or not it names the author."""
    markup: Any = None
    """Its buttons, as TL."""
    earlier: tuple[Content, ...] = ()
    """What it said before each of its edits, oldest first."""

    @property
    def content(self) -> Content:
        """What it says now."""
        return Content(self.text, self.entities, self.media)

    @property
    def names(self) -> set[int]:
        """The marked ids of the peers that it speaks of."""
        origin = {self.forwarded[0]} if self.forwarded else set()
        return {self.chat, self.sender} | origin

    @property
    def is_short(self) -> bool:
        """Whether updateShortMessage can hold all of it."""
        others = (self.forwarded, self.reply_to, self.action, self.media, self.markup)
        flags = (self.noforwards, self.silent, self.above)
        return not any(flags) and all(it is None for it in others)


@dataclass(slots=True, frozen=True)
class Event:
    """One entry of an update log; ``pts`` is the counter after it."""

    pts: int
    count: int
    kind: EventKind
    ids: tuple[int, ...]


class Change(NamedTuple):
    """An edit or a delete of one message in one box: who did it, when, and to what."""

    kind: Literal["edit", "delete"]
    by: int
    """The account that did it; 0 for the control channel."""
    at: float
    """Monotonic seconds."""
    box: Box
    message: Message
    before: Content
    after: Content | None
    """None when it was deleted."""


@dataclass(slots=True, eq=False)
class Box:
    """Numbered messages with a pts counter and the log of what moved it.

    What is older than ``log_limit`` events cannot be asked for any more (api/updates,
    "Recovering gaps").
    """

    log_limit: int
    pts: int = 1
    next_id: int = 1
    messages: dict[int, Message] = field(default_factory=dict)
    log: list[Event] = field(default_factory=list)

    def record(self, kind: EventKind, ids: tuple[int, ...]) -> Event:
        """Move pts by what happened, and log it."""
        self.pts += len(ids)
        event = Event(self.pts, len(ids), kind, ids)
        self.log.append(event)
        if len(self.log) > self.log_limit + _TRIM:
            del self.log[:_TRIM]
        return event

    def is_too_old(self, pts: int) -> bool:
        """Return whether the events after ``pts`` are no longer logged as a whole."""
        return pts < self.pts - self.log_limit

    def since(self, pts: int, limit: int) -> tuple[list[Event], bool]:
        """Return the first events after ``pts``, at most so many, and whether there are more."""
        first = bisect_right(self.log, pts, key=_by_pts)
        return self.log[first : first + limit], first + limit < len(self.log)
