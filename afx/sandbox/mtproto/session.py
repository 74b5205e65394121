"""One MTProto session of a key: it outlives connections, and the server may forget it.

Source: core.telegram.org/mtproto/description (session) and /api/invoking (sequential
requests).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from afx.sandbox.mtproto.incoming import Incoming
from afx.sandbox.mtproto.outgoing import Outgoing

_MOST_FAILED = 10_000
_MOST_SESSIONS = 4
"""MTProto sessions that are remembered for each key."""


class Carrier(Protocol):
    """A connection, as far as its session needs to know it."""

    def flush_soon(self) -> None:
        """Write what is queued soon."""


@dataclass(slots=True, eq=False)
class Waiting:
    """A request that runs when others have been answered (invokeAfterMsg)."""

    after: set[int]
    run: Callable[[], None]
    """Executes it."""
    fail: Callable[[], None]
    """Refuses it: one of the others has failed."""


@dataclass(slots=True, eq=False)
class Session:
    """What the server remembers of one MTProto session."""

    id: int
    first_msg_id: int = 0
    """The lowest message id that the client was told of."""
    is_announced: bool = False
    carrier: Carrier | None = None
    """The connection that sends what is queued."""
    unique_id: int = field(default_factory=lambda: secrets.randbits(63))
    incoming: Incoming = field(default_factory=Incoming)
    outgoing: Outgoing = field(default_factory=Outgoing)
    failed: set[int] = field(default_factory=set)
    waiting: list[Waiting] = field(default_factory=list)

    def send(self, body: bytes, *, related: bool = True, push: bool = False) -> int:
        """Queue a server's message, and return its id."""
        msg_id = self.outgoing.add(body, related, push)
        if self.carrier is not None:
            self.carrier.flush_soon()
        else:
            self.outgoing.clear()  # a new connection asks for what was not acknowledged
        return msg_id

    def leave(self, carrier: Carrier) -> None:
        """A connection has ended, or carries another session now."""
        if self.carrier is carrier:
            self.carrier = None
            self.outgoing.clear()

    def unanswered(self, msg_ids: Iterable[int]) -> set[int]:
        """Return those messages that have no answer yet, or have not come yet."""
        return {it for it in msg_ids if self.incoming.is_running(it)}

    def settle(self, msg_id: int, *, failed: bool) -> None:
        """A request was answered, with an error or not: what waits for it goes on."""
        if failed:
            if len(self.failed) > _MOST_FAILED:
                self.failed.clear()
            self.failed.add(msg_id)
        if not self.waiting:
            return
        for it in [it for it in self.waiting if msg_id in it.after]:
            it.after.discard(msg_id)
            if failed:
                self.waiting.remove(it)
                it.fail()
            elif not it.after:
                self.waiting.remove(it)
                it.run()


class Sessions:
    """The MTProto sessions of one key, the newest last."""

    __slots__ = ("_sessions",)

    def __init__(self) -> None:
        self._sessions: dict[int, Session] = {}

    def get(self, session_id: int) -> Session | None:
        """Return a session that is remembered."""
        return self._sessions.get(session_id)

    def create(self, session_id: int) -> Session:
        """Create a session, and forget the oldest one."""
        session = self._sessions[session_id] = Session(session_id)
        if len(self._sessions) > _MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        return session

    def forget(self, session_id: int) -> bool:
        """Forget a session; False when it is not known."""
        return self._sessions.pop(session_id, None) is not None

    def clear(self) -> int:
        """Forget all sessions; returns how many."""
        count = len(self._sessions)
        self._sessions.clear()
        return count
