"""The server's messages of one MTProto session: numbered, queued, packed into packets.

Source: core.telegram.org/mtproto/description (message identifiers, sequence numbers,
content-related messages).
"""

from __future__ import annotations

import time

from afx.sandbox.mtproto import crypto, messages

_MAX_BATCH = 100
_MAX_BATCH_BYTES = 512 * 1024
_MOST_UNACKNOWLEDGED = 32
"""Messages that are remembered for a client that asks for them again."""
_ANSWER, _NOTIFICATION = 1, 3
"""A server's message id modulo 4: it answers a client's message, or not."""


class Outgoing:
    """Messages that wait to be sent; ids and sequence numbers only rise."""

    __slots__ = ("_queue", "_related", "last_id", "unacknowledged")

    def __init__(self) -> None:
        self.last_id = 0
        self.unacknowledged: dict[int, tuple[int, bytes]] = {}
        """Message id → (seq no, body) of the newest ones that want an acknowledgment."""
        self._related = 0
        self._queue: list[tuple[int, int, bytes]] = []

    def add(self, body: bytes, related: bool, push: bool) -> int:
        """Queue a message and return its id; ``related`` ones need an acknowledgment."""
        msg_id = self.next_id(_NOTIFICATION if push else _ANSWER)
        seq = self._related * 2 + related
        self._queue.append((msg_id, seq, body))
        if related:
            self._related += 1
            unacknowledged = self.unacknowledged
            unacknowledged[msg_id] = (seq, body)
            if len(unacknowledged) > _MOST_UNACKNOWLEDGED:
                del unacknowledged[next(iter(unacknowledged))]
        return msg_id

    def add_again(self, msg_id: int) -> bool:
        """Queue a message once more, unless it is forgotten."""
        sent = self.unacknowledged.get(msg_id)
        if sent is None:
            return False
        self._queue.append((msg_id, *sent))
        return True

    def packets(self, key: crypto.CipherKey, salt: int, session_id: int) -> list[bytes]:
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
            head = crypto.HEADER.pack(salt, session_id, msg_id, seq, len(body))
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
