"""A session's connection as a state machine: nothing overlaps, nothing comes back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from telethon import errors

from afx.clock import SYSTEM_CLOCK
from afx.node.connection import Connection, State
from afx.reasons import TroubleReason


class Client:
    """What a connection asks of a Telethon client; counts live connections."""

    is_moving = False

    def __init__(self) -> None:
        self.live = 0
        self.connects = 0
        self.hold: asyncio.Event | None = None
        self.fail: BaseException | None = None
        self.disconnected: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def go_back(self, _: BaseException) -> bool:
        return False

    async def connect(self) -> None:
        self.connects += 1
        self.live += 1
        assert self.live == 1, "two connections"
        if self.hold:
            await self.hold.wait()
        if self.fail:
            raise self.fail
        self.disconnected = asyncio.get_running_loop().create_future()

    async def disconnect(self) -> None:
        await asyncio.sleep(0)
        self.live = 0
        if not self.disconnected.done():
            self.disconnected.set_result(None)


class Owner:
    """What a connection tells its session."""

    def __init__(self) -> None:
        self.given_up: list[BaseException] = []
        self.troubles: list[TroubleReason] = []
        self.caught_up = 0

    def may_write(self) -> bool:
        return True

    async def suspend(self) -> None:
        pass

    def start_catch_up(self) -> None:
        self.caught_up += 1

    def give_up(self, error: BaseException) -> None:
        self.given_up.append(error)

    def trouble(self, reason: TroubleReason, text: str) -> None:
        self.troubles.append(reason)


class Bench:
    def __init__(self) -> None:
        self.client, self.owner = Client(), Owner()
        self.connection = Connection(
            self.client,  # type: ignore[arg-type]
            self.owner,
            SYSTEM_CLOCK,
            random.Random(1),
        )

    async def open(self) -> None:
        async def prepare() -> None:
            pass

        await self.connection.open(prepare)

    async def until(self, condition: Callable[[], Any]) -> None:
        while not condition():
            await asyncio.sleep(0.001)


def run(scenario: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            bench = Bench()
            await scenario(bench)
            await bench.connection.close()
            assert bench.client.live == 0

    asyncio.run(main())


def lost_login() -> BaseException:
    return errors.AuthKeyDuplicatedError(None)


def test_a_lost_connection_is_reconnected() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.open()
        bench.connection.lost(ConnectionError("reset"))
        assert bench.connection.state is State.RECONNECTING
        await bench.until(lambda: bench.connection.state is State.LIVE)
        assert (bench.client.connects, bench.owner.caught_up) == (2, 1)

    run(scenario)


def test_losses_that_follow_each_other_make_one_reconnect() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.open()
        for _ in range(5):
            bench.connection.lost(ConnectionError("reset"))
        await bench.until(lambda: bench.connection.state is State.LIVE)
        assert bench.client.connects == 2
        assert bench.owner.troubles == [TroubleReason.CONNECTION_LOST]

    run(scenario)


def test_a_close_cancels_the_reconnect_in_progress() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.open()
        bench.client.hold = asyncio.Event()
        bench.connection.lost(ConnectionError("reset"))
        await bench.until(lambda: bench.client.connects == 2)
        await bench.connection.close()
        assert bench.connection.state is State.CLOSED
        bench.client.hold.set()
        await asyncio.sleep(0)
        assert (bench.client.live, bench.client.connects) == (0, 2)

    run(scenario)


def test_a_loss_during_the_start_fails_the_start() -> None:
    async def scenario(bench: Bench) -> None:
        async def prepare() -> None:
            bench.connection.lost(ConnectionError("a lane has lost it"))

        with pytest.raises(ConnectionError, match="a lane"):
            await bench.connection.open(prepare)
        assert bench.client.connects == 1

    run(scenario)


def test_a_lost_login_ends_the_connection_once_without_a_retry() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.open()
        bench.connection.lost(lost_login())
        bench.connection.lost(lost_login())
        bench.connection.lost(ConnectionError("reset"))
        assert len(bench.owner.given_up) == 1
        assert bench.client.connects == 1

    run(scenario)


def test_a_login_lost_during_a_reconnect_ends_the_connection() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.open()
        bench.client.fail = lost_login()
        bench.connection.lost(ConnectionError("reset"))
        await bench.until(lambda: bench.owner.given_up)
        assert bench.client.connects == 2

    run(scenario)


def test_a_failed_reconnect_is_retried() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.open()
        bench.client.fail = OSError("no route")
        bench.connection.lost(ConnectionError("reset"))
        await bench.until(lambda: TroubleReason.RECONNECT_FAILED in bench.owner.troubles)
        bench.client.fail = None
        await bench.until(lambda: bench.connection.state is State.LIVE)

    run(scenario)


def test_nothing_connects_after_the_end() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.open()
        await bench.connection.end()
        bench.connection.lost(ConnectionError("reset"))
        assert bench.connection.state is State.ENDING
        await bench.connection.close()
        bench.connection.lost(ConnectionError("reset"))
        assert bench.connection.state is State.CLOSED
        with pytest.raises(RuntimeError):
            await bench.open()

    run(scenario)
