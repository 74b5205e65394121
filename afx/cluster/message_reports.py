"""What nodes report of single messages: in the call that moves their session's cursor past them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from afx.cluster.report_base import SessionReport
from afx.reasons import DeadReason, HeldEnd, HeldEvent


@dataclass(slots=True, frozen=True, kw_only=True)
class _DeadReport(SessionReport):
    """Messages of one route, by their ids in its source; both chats are marked ids.

    It is appended by the call that moves the session's cursor past them, so it counts under
    whatever epoch the session is by the time that it is read.
    """

    rule_id: int
    source: int
    destination: int
    message_ids: tuple[int, ...]


@dataclass(slots=True, frozen=True, kw_only=True)
class DeadLettered(_DeadReport):
    """They cannot be delivered."""

    kind: ClassVar[str] = "dead_lettered"
    reason: DeadReason
    error: str = ""
    """Telegram's name of it."""
    attempts: int = 1


@dataclass(slots=True, frozen=True, kw_only=True)
class DeadRevived(_DeadReport):
    """They wait in their outbox, to be tried again."""

    kind: ClassVar[str] = "dead_revived"


@dataclass(slots=True, frozen=True, kw_only=True)
class MessageHeld(SessionReport):
    """A message of a route waits for an operator's approval; both chats are marked ids.

    It is appended by the call that moves the session's cursor past it, as a dead letter is.
    """

    kind: ClassVar[str] = "message_held"
    event: HeldEvent
    rule_id: int
    source: int
    destination: int
    message_id: int
    album: int
    version: int
    """Of its content."""
    content: str
    """What would be sent, sealed."""
    expires_at: int
    """In Unix seconds."""


@dataclass(slots=True, frozen=True, kw_only=True)
class HeldEnded(_DeadReport):
    """Messages of a route wait for no approval any more."""

    kind: ClassVar[str] = "held_ended"
    end: HeldEnd


@dataclass(slots=True, frozen=True, kw_only=True)
class AlertRaised(SessionReport):
    """A message of a source meets the condition of a rule's alerts."""

    kind: ClassVar[str] = "alert_raised"
    rule_id: int
    source: int
    message_id: int
    link: str
    """To the message; empty where there is none."""
    left_out: int
    """Alerts of the rule that were left out since the last one."""
