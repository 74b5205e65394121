"""Update boxes: pts order, gaps, and the cursor over settled forwards.

An account has one box for private chats and basic groups, and one for each channel.
A box takes updates only in pts order (core.telegram.org/api/updates). Its cursor
moves past an update only when all forwards that the update caused are settled;
forwards that settle out of order wait behind the oldest open one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

_MOST_WAITING = 1_000

Verdict = Literal["next", "old", "gap"]


class Settling(Protocol):
    """What tickets are of: a box, or an outbox."""

    def advance(self) -> bool:
        """Move past all that is settled in order; True when it moved."""


@dataclass(slots=True, eq=False)
class Ticket:
    """One update in flight: done when its ``open`` forwards are settled."""

    pts: int
    """The position after this update; 0 inside a slice, whose end has it."""
    open: int
    box: Settling
    chat: int = 0
    message: int = 0
    taken: float = 0.0
    """When its message came, on a monotonic clock; 0: it came earlier, and was stored."""


@dataclass(slots=True, eq=False)
class Box:
    """One stream of updates with its position and its cursor."""

    channel: int
    """The channel's bare id; 0 for the account's own box."""
    pts: int
    cursor: int
    """What may be stored: all up to here is settled."""
    last_ids: dict[int, int] = field(default_factory=dict)
    """chat → the newest message id that is settled in order."""
    tickets: list[Ticket] = field(default_factory=list)
    """The updates in flight, in order. Not a deque: an empty one takes 760 bytes."""
    waiting: list[tuple[int, int, Any, bool]] = field(default_factory=list)
    """Updates (pts, count, message, own) received while a gap was open."""
    overflowed: bool = False
    """Too many waited, and were dropped: a difference has to bring them."""
    syncing: bool = False
    """A difference is being fetched, or the box has no position yet."""
    failures: int = 0
    """How many differences in a row have failed or left the gap open."""

    def check(self, pts: int, count: int) -> Verdict:
        """Return whether an update is the next one, is known, or leaves a gap."""
        after = self.pts + count
        if pts == after:
            return "next"
        return "old" if pts < after else "gap"

    def put_aside(self, pts: int, count: int, message: Any, own: bool) -> None:
        """Let an update wait for the difference before it."""
        if len(self.waiting) >= _MOST_WAITING:
            self.waiting.clear()
            self.overflowed = True
        self.waiting.append((pts, count, message, own))

    def admit(self, pts: int, forwards: int, chat: int = 0, message: int = 0) -> Ticket:
        """Take an update that causes ``forwards`` forwards; moves the position."""
        ticket = Ticket(pts, forwards, self, chat, message)
        self.tickets.append(ticket)
        if pts:
            self.pts = pts
        return ticket

    def leave(self, pts: int, chat: int = 0, message: int = 0) -> bool:
        """Take an update that causes no forward; True when the cursor moved.

        ``message`` is one that is settled by that.
        """
        if self.tickets:
            self.admit(pts, 0, chat, message)
            return self.advance()
        if pts:
            self.pts = self.cursor = pts
        if message:
            self.last_ids[chat] = max(message, self.last_ids.get(chat, 0))
        return bool(pts or message)

    def advance(self) -> bool:
        """Move the cursor past all that is settled; True when it moved."""
        moved = False
        settled = 0
        for ticket in self.tickets:
            if ticket.open:
                break
            settled += 1
            if ticket.pts:
                self.cursor = ticket.pts
                moved = True
            if ticket.message:
                self.last_ids[ticket.chat] = max(ticket.message, self.last_ids.get(ticket.chat, 0))
                moved = True
        del self.tickets[:settled]
        return moved
