"""What a session tells of messages that wait for an operator's approval."""

from __future__ import annotations

from dataclasses import dataclass

from afx.reasons import HeldEnd, HeldEvent


@dataclass(slots=True, frozen=True)
class HeldMessage:
    """A message of a route that waits for an approval."""

    event: HeldEvent
    rule: int
    source: int
    destination: int
    message: int
    album: int
    version: int
    content: str
    expires_at: int


@dataclass(slots=True, frozen=True)
class HeldGone:
    """Messages of a route that wait for no approval any more."""

    end: HeldEnd
    rule: int
    source: int
    destination: int
    messages: tuple[int, ...]


HeldReport = HeldMessage | HeldGone


@dataclass(slots=True, frozen=True)
class Approved:
    """What became of messages that were approved."""

    released: int
    edited: int
    """They were edited since, and wait again."""
    deleted: int
    unsent: int = 0
    """Their rule does not lead there any more."""
