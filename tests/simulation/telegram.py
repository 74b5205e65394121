"""Stands in for a session's client of Telegram; the judge sees each connection and write.

The session around it is a small one, but its connection's state machine, and all that
starts, stops and commits it, is the real code.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

from simulation.hub import Process
from simulation.judge import Judge, Opened

from afx.node.connection import Connection
from afx.node.environment import Environment
from afx.node.progress import Progress
from afx.reasons import TroubleReason

_WRITE_SECONDS = (0.4, 1.2)


class Telegram:
    """The server's side: how long it takes to connect, and what fails."""

    def __init__(self, judge: Judge, seed: int) -> None:
        self.judge = judge
        self.random = Random(f"{seed} telegram")
        self.slow_until = 0.0
        """Until then a connection takes seconds."""
        self.refuses_until = 0.0
        self.catches_up = False
        """Sessions say that they have caught up, once one has hibernated: reports that nobody
        needs would shift what follows from a seed."""
        self.clients: dict[int, set[Client]] = {}
        """session → its clients that are connected."""

    def connect_seconds(self, now: float) -> float:
        """Return how long the next connection takes."""
        return self.random.uniform(1.0, 6.0) if now < self.slow_until else 0.05

    def lose_connection(self, session_id: int) -> None:
        """Break a session's connections, as a network does."""
        for it in list(self.clients.get(session_id, ())):
            it.break_off()


class Client:
    """One session's client: at most one connection, opened and closed by the real code."""

    is_moving = False

    def __init__(self, session: SimSession, telegram: Telegram, process: Process) -> None:
        self._session = session
        self._telegram = telegram
        self._process = process
        self._opened: Opened | None = None
        self.disconnected: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def is_connected(self) -> bool:
        """Return whether a connection exists."""
        return self._opened is not None

    def go_back(self, _: BaseException) -> bool:
        """Return whether a key that was made since the start is refused: there is none."""
        return False

    async def connect(self) -> None:
        """Open the connection; it exists before this returns."""
        telegram, hub = self._telegram, self._process.hub
        await asyncio.sleep(telegram.connect_seconds(hub.now) / 2)
        if hub.now < telegram.refuses_until or not self._session.may_write():
            raise ConnectionError("Telegram does not answer")
        self.disconnected = asyncio.get_running_loop().create_future()
        self._opened = telegram.judge.open(
            self._session.session_id, self._session.epoch, self._process
        )
        telegram.clients.setdefault(self._session.session_id, set()).add(self)
        await asyncio.sleep(telegram.connect_seconds(hub.now) / 2)
        self.write()

    def write(self) -> None:
        """Use the connection, if the guard permits it."""
        if self._opened and self._session.may_write():
            self._telegram.judge.write(self._opened)

    async def disconnect(self) -> None:
        """Close the connection."""
        await asyncio.sleep(self._telegram.random.uniform(0.0, 0.4))
        self._close()

    def break_off(self) -> None:
        """The connection ends by itself."""
        self._close()
        if not self.disconnected.done():
            self.disconnected.set_exception(ConnectionError("broken off"))

    def _close(self) -> None:
        if self._opened:
            self._telegram.judge.close(self._opened)
            self._telegram.clients[self._session.session_id].discard(self)
            self._opened = None


class SimSession:
    """Stands in for ``HostedSession``: a connection that writes, and a counter as its cursor."""

    telegram: Telegram
    """The one of the schedule that runs; a schedule sets it."""

    def __init__(
        self, spec: Any, epoch: int, stored: Any, env: Environment, **how_to_connect: Any
    ) -> None:
        assert not any(how_to_connect.values())  # the simulation has neither proxies nor devices
        self.spec = spec
        self.epoch = epoch
        self.sent = 0
        self.changed = False
        self.next_poll = 0.0
        self.rule_troubles: dict[int, Any] = {}
        self._env = env
        self._position = int(stored.cursors.get("account", "0:0:0").split(":")[0])
        self._writer: asyncio.Task[None] | None = None
        process = self.telegram.judge.hub.current
        assert process is not None
        self.client = Client(self, self.telegram, process)
        self.connection = Connection(self.client, self, env.clock, env.rng)  # type: ignore[arg-type]

    @property
    def session_id(self) -> int:
        """The session's id."""
        return int(self.spec.session)

    def next_due(self) -> int:
        """It has nothing for later."""
        return 0

    @property
    def has_caught_up(self) -> bool:
        """Whether it has written something; nothing else was missed."""
        return self.telegram.catches_up and self.sent > 0

    async def start(self) -> None:
        """Connect, and begin to write."""
        await self.connection.open(self._prepare)
        self._writer = asyncio.get_running_loop().create_task(self._write_on())

    async def stop(self) -> None:
        """Stop writing, and disconnect."""
        try:
            await self.connection.end()
            if self._writer:
                self._writer.cancel()
        finally:
            await self.connection.close()

    async def _prepare(self) -> None:
        self.progressed()

    async def _write_on(self) -> None:
        while True:
            await asyncio.sleep(self._env.rng.uniform(*_WRITE_SECONDS))
            if self.client.is_connected():
                self.client.write()
                self._position += 1
                self.sent += 1
                self.progressed()

    def progressed(self) -> None:
        """There is something to commit."""
        if not self.changed:
            self.changed = True
            self._env.dirty(self)  # type: ignore[arg-type]

    def collect_uncommitted(self) -> Progress:
        """Return what is to be committed."""
        self.changed = False
        return Progress(["account", f"{self._position + 1}:0:1"], [], {})

    def put_back(self, progress: Progress) -> None:
        """Take back what could not be committed."""
        self.progressed()

    def note_committed(self) -> None:
        """Redis has taken the progress."""

    def mark_all_dirty(self) -> None:
        """Let the next commit write all."""
        self.progressed()

    def pause(self) -> None:
        """The lease is running out; the guard stops the writes."""

    def resume(self) -> None:
        """The lease was renewed."""

    def poll(self) -> None:
        """No channel is polled."""

    def lost(self, error: BaseException) -> None:
        """The connection is lost."""
        self.connection.lost(error)

    def may_write(self) -> bool:
        """Return whether the node's lease still lasts."""
        return self._env.may_write()

    async def suspend(self) -> None:
        """No answer is awaited."""

    def start_catch_up(self) -> None:
        """Nothing was missed."""

    def give_up(self, error: BaseException) -> None:
        """The login no longer works."""
        self._env.gave_up(self, error)  # type: ignore[arg-type]

    def trouble(self, reason: TroubleReason, text: str) -> None:
        """Report what hinders the session."""
        self._env.trouble(self, reason, text)  # type: ignore[arg-type]
