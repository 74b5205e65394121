"""The server's messages of one connection: numbered, queued, packed into packets.

Source: core.telegram.org/mtproto/description (message identifiers, sequence numbers).
"""

from __future__ import annotations

import time

from afx.sandbox.mtproto import crypto, messages

_MAX_BATCH = 100
_MAX_BATCH_BYTES = 512 * 1024
_ANSWER, _NOTIFICATION = 1, 3
"""A server's message id modulo 4: it answers a client's message, or not."""


class Outgoing:
    """Messages that wait to be sent; ids and sequence numbers only rise."""

    __slots__ = ("_queue", "_related", "last_id")

    def __init__(self) -> None:
        self.last_id = 0
        self._related = 0
        self._queue: list[tuple[int, int, bytes]] = []

    @property
    def has_begun(self) -> bool:
        """Whether a message that needs an acknowledgment was ever queued."""
        return self._related > 0

    def add(self, body: bytes, related: bool, push: bool) -> None:
        """Queue a message; ``related`` ones need an acknowledgment, pushes answer nothing."""
        msg_id = self.next_id(_NOTIFICATION if push else _ANSWER)
        self._queue.append((msg_id, self._related * 2 + related, body))
        self._related += related

    def packets(self, key: crypto.AuthKey, session_id: int) -> list[bytes]:
        """Empty the queue: return it as encrypted packets, with containers where possible."""
        waiting, self._queue = self._queue, []
        found = []
        while waiting:
            size = taken = 0
            while taken < len(waiting) and taken < _MAX_BATCH and size < _MAX_BATCH_BYTES:
                size += len(waiting[taken][2]) + 16
                taken += 1
            batch, waiting = waiting[:taken], waiting[taken:]
            if taken == 1:
                msg_id, seq, body = batch[0]
            else:
                body = messages.pack_container(batch)
                msg_id, seq = self.next_id(), self._related * 2
            head = crypto.HEADER.pack(key.salt, session_id, msg_id, seq, len(body))
            found.append(crypto.encrypt(key, head + body))
        return found

    def clear(self) -> None:
        """Drop what is queued: the connection is closed."""
        self._queue.clear()

    def next_id(self, remainder: int = _ANSWER) -> int:
        """Return a new message id: the time, in units of 2⁻³² s, modulo 4 as asked."""
        new = (int(time.time() * 2**32) & ~3) | remainder
        if new <= self.last_id:
            new = ((self.last_id >> 2) + 1 << 2) | remainder
        self.last_id = new
        return new
