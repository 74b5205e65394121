"""What happens to messages of a source after they were posted, and which of it rules follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from afx.forwarding.forms import Choice, Many
from afx.forwarding.pipeline import Incoming

ChangeKind = Literal["edit", "delete", "pin", "unpin", "topic"]
EVENTS = ("edits", "deletes", "pins", "topics")
"""What the option ``sync`` of a rule may name."""
FOLLOWED: Mapping[ChangeKind, str] = {
    "edit": "edits",
    "delete": "deletes",
    "pin": "pins",
    "unpin": "pins",
    "topic": "topics",
}
"""By which of them a change is followed."""
SYNC = Many(Choice("What of the sources is followed in the copies.", EVENTS))
NO_EDITS = "a forward cannot be edited; following edits needs the mode copy"


@dataclass(slots=True, frozen=True)
class Change:
    """A change of messages of one chat."""

    kind: ChangeKind
    chat: int
    """The chat's marked id; 0: one of those outside channels, Telegram does not say which."""
    messages: tuple[int, ...]
    """Their ids; of topics those of the messages that have made them."""
    message: Incoming | None = None
    """The message as an edit has left it."""
    version: int = 0
    """The position of its update (pts), which no other one of its box has; 0 for none."""
