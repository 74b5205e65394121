"""The client's messages of one MTProto session: which were received, and which are refused.

Source: core.telegram.org/mtproto/description (message identifiers, sequence numbers)
and /mtproto/service_messages_about_messages (codes of ignored messages, states).
"""

from __future__ import annotations

from collections.abc import Iterable

from afx.sandbox.mtproto import messages

TOO_LOW, TOO_HIGH, NOT_BY_FOUR, USED_BY_CONTAINER, TOO_OLD = 16, 17, 18, 19, 20
SEQ_TOO_LOW, SEQ_TOO_HIGH, SEQ_NOT_EVEN, SEQ_NOT_ODD = 32, 33, 34, 35
BAD_CONTAINER = 64

_OLDEST_SECONDS, _NEWEST_SECONDS = 300, 30
_MOST_RECEIVED = 512
"""Message ids that a session remembers; older ones cannot be told from unknown ones."""
RUNNING = 0

_STATE_FORGOTTEN, _STATE_MISSING, _STATE_FUTURE, _STATE_RECEIVED = 1, 2, 3, 4
_STATE_EXECUTED, _STATE_ANSWERED = 32, 64


class Incoming:
    """The message ids that a session has received."""

    __slots__ = ("_forgotten", "_top_id", "_top_seq", "received")

    def __init__(self) -> None:
        self.received: dict[int, int] = {}
        """The client's message id → the id of its answer, or RUNNING."""
        self._top_id = self._top_seq = 0
        self._forgotten = 0
        """The highest message id that is no longer remembered."""

    def refusal_of_packet(self, msg_id: int, kind: int, now: float) -> int:
        """Return the code by which a packet's own message is refused, or 0."""
        created = msg_id >> 32
        if msg_id & 3:
            return NOT_BY_FOUR
        if created < now - _OLDEST_SECONDS:
            return TOO_LOW
        if created > now + _NEWEST_SECONDS:
            return TOO_HIGH
        if kind == messages.CONTAINER and msg_id in self.received:
            return USED_BY_CONTAINER
        return 0

    def refusal(self, msg_id: int, seq: int, kind: int) -> int:
        """Return the code by which a message is refused, or 0; a container's parts, too."""
        if msg_id & 3:
            return NOT_BY_FOUR
        if msg_id <= self._forgotten and msg_id not in self.received:
            return TOO_OLD
        odd = seq & 1
        if odd and kind in messages.NEVER_CONTENT:
            return SEQ_NOT_EVEN
        if not odd and kind not in messages.MAY_BE_EVEN:
            return SEQ_NOT_ODD
        if msg_id > self._top_id:
            if seq < self._top_seq or (odd and seq == self._top_seq):
                return SEQ_TOO_LOW
        elif msg_id < self._top_id and (seq > self._top_seq or (odd and seq == self._top_seq)):
            return SEQ_TOO_HIGH
        return 0

    def note(self, msg_id: int, seq: int) -> None:
        """Record a message that was accepted."""
        if msg_id > self._top_id:
            self._top_id, self._top_seq = msg_id, seq
        received = self.received
        received[msg_id] = RUNNING
        if len(received) > _MOST_RECEIVED:
            oldest = next(iter(received))
            del received[oldest]
            self._forgotten = max(self._forgotten, oldest)

    def note_container(self, msg_id: int, seq: int) -> None:
        """Record the message id of a container; it gets no answer."""
        self.note(msg_id, seq)
        self.received[msg_id] = msg_id

    def forget(self, msg_ids: Iterable[int]) -> None:
        """Forget messages whose container was rejected after all."""
        for it in msg_ids:
            self.received.pop(it, None)

    def is_running(self, msg_id: int) -> bool:
        """Return whether a message has no answer yet, or was not received yet."""
        if msg_id in self.received:
            return self.received[msg_id] == RUNNING
        return msg_id > self._forgotten

    def state(self, msg_id: int) -> int:
        """Return the byte that msgs_state_info has for a message."""
        answer = self.received.get(msg_id)
        if answer is None:
            if msg_id <= self._forgotten:
                return _STATE_FORGOTTEN
            return _STATE_FUTURE if msg_id > self._top_id else _STATE_MISSING
        return _STATE_RECEIVED | _STATE_EXECUTED | (_STATE_ANSWERED if answer else 0)
