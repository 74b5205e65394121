"""The one connection of a session to Telegram: an explicit state machine.

    NEW ──open──► CONNECTING ──► LIVE ⇄ RECONNECTING
                      │           │          │
                      └───────────┴──────────┴──► ENDING ──close──► CLOSED

``open``, the reconnect and ``close`` cannot overlap: ``open`` is called once; the
reconnect is a task that exists in RECONNECTING only; ``end`` leaves every state for
ENDING, from which nothing connects any more, and awaits that task's end.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, Protocol

import structlog

from afx.clock import Clock
from afx.reasons import TroubleReason
from afx.telegram.client import AccountClient
from afx.telegram.errors import is_lost_login
from afx.telegram.proxied import proxy_error_in

_CONNECT_SECONDS = 60.0
_OPENINGS = 3
"""With the key of an earlier move, with the stored one, and where that says the account is."""
_BACKOFF_SECONDS, _BACKOFF_MAX = 0.1, 10.0
_STABLE_SECONDS = 30.0
"""A connection that has lasted so long reconnects without a longer wait."""
_RETRY_SECONDS = 0.5

log = structlog.get_logger()


class State(Enum):
    """What a connection does."""

    NEW = "new"
    CONNECTING = "connecting"
    LIVE = "live"
    RECONNECTING = "reconnecting"
    ENDING = "ending"
    CLOSED = "closed"


class ConnectionOwner(Protocol):
    """The session that a connection belongs to."""

    def may_write(self) -> bool:
        """Return whether the node's lease still lasts."""

    async def suspend(self) -> None:
        """The connection is lost: await no answer any more."""

    def start_catch_up(self) -> None:
        """The connection is back: fetch what was missed in the background, and go on."""

    def give_up(self, error: BaseException) -> None:
        """Telegram no longer accepts the login."""

    def trouble(self, reason: TroubleReason, text: str) -> None:
        """Report what hinders the session."""


class Connection:
    """Connects, reconnects and disconnects one client."""

    __slots__ = (
        "_client",
        "_clock",
        "_error",
        "_live_since",
        "_owner",
        "_pause",
        "_random",
        "_reconnect",
        "state",
    )

    def __init__(
        self, client: AccountClient, owner: ConnectionOwner, clock: Clock, rng: random.Random
    ) -> None:
        self._client = client
        self._owner = owner
        self._clock = clock
        self._random = rng
        self._reconnect: asyncio.Task[None] | None = None
        self._error: BaseException | None = None
        """What was lost before the connection was live."""
        self._live_since = 0.0
        self._pause = _BACKOFF_SECONDS
        self.state = State.NEW

    async def open(self, prepare: Callable[[], Awaitable[None]]) -> None:
        """Connect, then prepare the session; the caller closes it if this raises."""
        if self.state is not State.NEW:
            raise RuntimeError(f"a connection that is {self.state.value} cannot be opened")
        self.state = State.CONNECTING
        for tries in range(_OPENINGS, 0, -1):
            try:
                await self._connect()
                await prepare()
                break
            except Exception as error:
                is_moving = isinstance(error, ConnectionError) and self._client.is_moving
                is_refused = is_lost_login(error) and self._client.go_back(error)
                if is_refused and tries == 1:
                    raise ConnectionError("its new key is refused") from error
                if not (is_moving or is_refused) or tries == 1:
                    raise
                # Telegram has just said where the account is now: only this client knows it.
                # Or it refuses the key of a move, which says nothing of the stored login.
                await self._client.disconnect()
                self._error = None
        self._enter_live(State.CONNECTING)

    def lost(self, error: BaseException) -> None:
        """Reconnect after a loss, or give up when the login is lost."""
        match self.state:
            case State.CONNECTING | State.RECONNECTING:
                self._error = error  # raised where the work under way ends
            case State.LIVE if is_lost_login(error) and not self._client.go_back(error):
                self._fail(error)
            case State.LIVE:
                self._owner.trouble(
                    TroubleReason.CONNECTION_LOST, f"{type(error).__name__}: {error}"
                )
                self._restart_backoff()
                self.state = State.RECONNECTING
                self._error = None
                self._reconnect = asyncio.get_running_loop().create_task(self._run_reconnect())
            case _:
                pass

    async def end(self) -> None:
        """Never connect again; the connection that exists stays until ``close``."""
        if self.state is not State.CLOSED:
            self.state = State.ENDING
        if self._reconnect:
            # Again and again: a cancelled wait_for may return a result instead.
            while not self._reconnect.done():
                self._reconnect.cancel()
                await asyncio.wait({self._reconnect}, timeout=_RETRY_SECONDS)
            self._reconnect = None

    async def close(self) -> None:
        """Disconnect for good; when this returns no connection exists."""
        await self.end()
        while self.state is not State.CLOSED:
            try:
                await self._client.disconnect()
                self.state = State.CLOSED
            except Exception as error:
                log.error("disconnect_failed", error=repr(error))
                await asyncio.sleep(_RETRY_SECONDS)

    # --- steps ----------------------------------------------------------------------

    async def _connect(self) -> None:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await self._client.connect()

    def _enter_live(self, expected: State) -> None:
        """Raise what was lost meanwhile, else be live."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if self.state is not expected:
            raise ConnectionError("the connection is being closed")
        self.state = State.LIVE
        self._live_since = self._clock.monotonic()
        self._client.disconnected.add_done_callback(self._on_disconnected)

    def _on_disconnected(self, future: asyncio.Future[Any]) -> None:
        error = None if future.cancelled() else future.exception()
        self.lost(error or ConnectionError("the connection ended"))

    def _fail(self, error: BaseException) -> None:
        self.state = State.ENDING
        self._owner.give_up(error)

    def _restart_backoff(self) -> None:
        if self._clock.monotonic() - self._live_since >= _STABLE_SECONDS:
            self._pause = _BACKOFF_SECONDS

    async def _run_reconnect(self) -> None:
        while self.state is State.RECONNECTING:
            pause, self._pause = self._pause, min(_BACKOFF_MAX, self._pause * 2)
            try:
                # Telethon leaves some requests of a lost connection without an answer
                # for ever: nothing may go on waiting for one.
                await self._owner.suspend()
                await self._client.disconnect()
                await asyncio.sleep(pause * self._random.uniform(0.5, 1.0))
                if not self._owner.may_write():
                    continue  # the lease is over: this process is about to end
                self._error = None
                await self._connect()
                self._enter_live(State.RECONNECTING)
                self._owner.start_catch_up()
            except Exception as error:
                # Whatever it is: a session must not stay cut off.
                if is_lost_login(error) and not self._client.go_back(error):
                    if self.state is State.RECONNECTING:
                        self._fail(error)
                    return
                of_proxy = proxy_error_in(error)
                if of_proxy is not None:
                    self._owner.trouble(TroubleReason.PROXY_FAILED, str(of_proxy))
                    continue
                self._owner.trouble(
                    TroubleReason.RECONNECT_FAILED, f"{type(error).__name__}: {error}"
                )
