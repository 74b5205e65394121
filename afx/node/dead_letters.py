"""What a session could not deliver: its dead letters, until they are committed.

They are reported in the fenced call that moves the cursor, or the outbox, past their
messages: so none is lost, and one that is reported twice is one row in SQL.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from afx.forwarding.pipeline import Delivery, Op
from afx.reasons import DeadReason

_TOGETHER = 256
"""Messages of one group."""
_KEPT, _KEPT_SECONDS = 16, 60.0
"""Groups that are reported once more when Redis has lost its data: the leader reads reports
within seconds, and what an operator has dropped must not come back."""


REFUSED: Mapping[Op, DeadReason] = {
    "edit": DeadReason.EDIT_REFUSED,
    "delete": DeadReason.DELETE_REFUSED,
    "pin": DeadReason.PIN_REFUSED,
    "unpin": DeadReason.PIN_REFUSED,
    "topic": DeadReason.TOPIC_REFUSED,
}
"""What the dead letter of a change is called."""
_RETRIED: Mapping[DeadReason, Op] = {
    DeadReason.EDIT_REFUSED: "edit",
    DeadReason.DELETE_REFUSED: "delete",
    DeadReason.PIN_REFUSED: "pin",
    DeadReason.TOPIC_REFUSED: "topic",
}


def retried_op(reason: DeadReason | None) -> Op:
    """Return what is done when a dead letter is tried again."""
    return "send" if reason is None else _RETRIED.get(reason, "send")


class _Key(NamedTuple):
    rule: int
    source: int
    destination: int
    reason: DeadReason | None
    error: str
    attempts: int


@dataclass(slots=True, frozen=True)
class DeadGroup:
    """Messages of one route that have become dead letters, or are none any more."""

    rule: int
    source: int
    destination: int
    reason: DeadReason | None
    """None: they are in the outbox again, to be sent once more."""
    error: str
    """What Telegram says."""
    attempts: int
    messages: tuple[int, ...]


class DeadLetters:
    """Collects the dead letters of one session until they are taken for a commit."""

    __slots__ = ("_entries", "_groups", "_kept", "_monotonic", "_revived", "_sent")

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._entries: list[tuple[_Key, list[int]]] = []
        self._groups: Sequence[DeadGroup] = ()
        """What could not be committed."""
        self._sent: Sequence[DeadGroup] = ()
        self._kept: deque[tuple[float, DeadGroup]] | None = None
        self._revived: dict[tuple[int, int, int, int], Delivery] = {}
        """What waits in outboxes again, and has not been reported."""

    def add(
        self, delivery: Delivery, reason: DeadReason, error: str = "", attempts: int = 1
    ) -> None:
        """Note that a delivery cannot be made; ``error`` is Telegram's name of it."""
        self._revived.pop(_key_of(delivery), None)
        self._append(delivery, reason, error, attempts)

    def revive(self, delivery: Delivery) -> None:
        """Note that a dead letter waits in its outbox again, which is not stored yet."""
        self._revived[_key_of(delivery)] = delivery

    def report_revived(self) -> None:
        """Report what was revived: the outboxes are stored. What has died since is dead."""
        revived, self._revived = self._revived, {}
        for it in revived.values():
            self._append(it, None, "", 0)

    def _append(
        self, delivery: Delivery, reason: DeadReason | None, error: str, attempts: int
    ) -> None:
        route = (delivery.rule, delivery.source, delivery.destination)
        key = _Key(*route, reason, error, attempts)
        last = self._entries[-1] if self._entries else None
        if last is None or last[0] != key or len(last[1]) >= _TOGETHER:
            self._entries.append((key, [delivery.message]))
        else:
            last[1].append(delivery.message)

    def take(self) -> Sequence[DeadGroup]:
        """Return what has come since the last call, in its order."""
        if not self._entries and not self._groups:
            self._sent = ()
            return ()
        entries, self._entries = self._entries, []
        fresh = [DeadGroup(*key, messages=tuple(messages)) for key, messages in entries]
        self._sent, self._groups = [*self._groups, *fresh], ()
        return self._sent

    def put_back(self) -> None:
        """What was taken last could not be stored."""
        self._groups, self._sent = [*self._sent, *self._groups], ()

    def note_committed(self) -> None:
        """Keep the last groups for a while: the leader may not have read them yet."""
        for it in self._sent:
            if self._kept is None:
                self._kept = deque(maxlen=_KEPT)
            self._kept.append((self._monotonic(), it))
        self._sent = ()

    def mark_all(self) -> None:
        """Let the next commit report the last groups once more."""
        if self._kept:
            since = self._monotonic() - _KEPT_SECONDS
            kept = [group for at, group in self._kept if at >= since]
            self._groups = [*kept, *self._groups]
            self._kept = None


def _key_of(it: Delivery) -> tuple[int, int, int, int]:
    return it.rule, it.source, it.destination, it.message
