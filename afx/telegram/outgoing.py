"""What a client is about to send: which of it is still wanted, and how it is packed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any

from telethon.extensions.messagepacker import MessagePacker
from telethon.network.mtprotostate import MTProtoState
from telethon.tl.core import MessageContainer, TLMessage

from afx.telegram.lazy import quiet

_TOGETHER = 13
"""Messages in one packet, so that a lane's batch of 50 takes four of them: while the server
executes the first ones of a batch, the next ones are encrypted, and its answers to the first are
read while it executes the last ones."""
_MOST_BYTES = MessageContainer.MAXIMUM_SIZE - TLMessage.SIZE_OVERHEAD


class Packer(MessagePacker):  # type: ignore[misc]
    """Packs what is to be sent now."""

    _log = quiet

    def __init__(self, state: MTProtoState, outgoing: Iterable[Any]) -> None:
        self._state = state
        self._deque: deque[Any] = deque()
        self._later = deque(outgoing)

    @property
    def rest(self) -> list[Any]:
        """What is not packed yet."""
        return [*self._deque, *self._later]

    async def get(self) -> Any:
        """Return the next packet's messages, and its data; it awaits nothing."""
        while self._later and len(self._deque) < _TOGETHER:
            self._deque.append(self._later.popleft())
        return await super().get()


class _NoAnswer:
    """The future of what has no answer."""

    __slots__ = ()

    def done(self) -> bool:
        return False

    def cancelled(self) -> bool:
        return True

    def cancel(self) -> None:
        pass

    def exception(self) -> None:
        pass

    def set_exception(self, error: BaseException) -> None:
        pass


class Service:
    """A message about messages on its way; Telethon's record of it has a future."""

    __slots__ = ("container_id", "data", "msg_id")

    after = request = None
    future = _NoAnswer()

    def __init__(self, body: Any) -> None:
        self.data = bytes(body)
        self.container_id = self.msg_id = None


def require_size(states: Iterable[Any]) -> None:
    """Raise ValueError for a request that no packet can carry."""
    for state in states:
        check_size(type(state.request).__name__, state.data)


def check_size(kind: str, data: bytes) -> None:
    """Raise ValueError for an encoded request that no packet can carry."""
    if len(data) > _MOST_BYTES:
        raise ValueError(f"{kind} has {len(data)} bytes; {_MOST_BYTES} can be sent")


def wanted(states: list[Any]) -> list[Any]:
    """Leave out requests whose callers have given up, unless a later one is to run after them."""
    kept: list[Any] = []
    leading: set[int] = set()
    for state in reversed(states):
        if id(state) in leading or not state.future.done():
            kept.append(state)
            if state.after:
                leading.add(id(state.after))
    kept.reverse()
    return kept


def fail(future: asyncio.Future[Any], error: BaseException | None) -> None:
    """End what waits for an answer; nobody is blamed for not looking at the error."""
    if future.done():
        return
    if error is None:
        future.cancel()
    else:
        future.set_exception(error)
        future.exception()
