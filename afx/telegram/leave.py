"""What rules let an account do for the chats that they name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Leave:
    """What rules let an account do for their chats, as rules name these."""

    joins: frozenset[str] = frozenset()
    """Invite links that it may join by."""
    wary: frozenset[str] = frozenset()
    """Destinations that are not used if they are strangers."""


NO_LEAVE = Leave()
