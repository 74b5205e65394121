"""Messages, and the boxes that number them and log what happened to them.

A channel has a box of its own; what happens in private chats and basic groups
has a copy, with its own id and pts, in each participant's box.
Source: core.telegram.org/api/updates.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

EventKind = Literal["new", "edit", "delete"]


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
    edited: int | None = None


@dataclass(slots=True, frozen=True)
class Event:
    """One entry of an update log; ``pts`` is the counter after it."""

    pts: int
    count: int
    kind: EventKind
    ids: tuple[int, ...]


@dataclass(slots=True, eq=False)
class Box:
    """Numbered messages with a pts counter and the log of what moved it."""

    log_limit: int
    pts: int = 1
    next_id: int = 1
    messages: dict[int, Message] = field(default_factory=dict)
    log: deque[Event] = field(default_factory=deque)

    def record(self, kind: EventKind, ids: tuple[int, ...]) -> Event:
        """Move pts by what happened, and log it."""
        self.pts += len(ids)
        event = Event(self.pts, len(ids), kind, ids)
        self.log.append(event)
        if len(self.log) > self.log_limit:
            self.log.popleft()
        return event

    def since(self, pts: int) -> list[Event] | None:
        """Return the events after ``pts``, or None when the log is too short."""
        oldest = self.log[0].pts - self.log[0].count if self.log else self.pts
        if pts < oldest:
            return None
        found: list[Event] = []
        for event in reversed(self.log):
            if event.pts <= pts:
                break
            found.append(event)
        found.reverse()
        return found
