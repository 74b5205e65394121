"""One timer lets all clients of a process beat: acknowledge and ping."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from afx.telegram import client
from afx.telegram.client import Pings


class FakeClient:
    """Stands in for a client: counts its beats."""

    def __init__(self, *, connected: bool = True) -> None:
        self.connected = connected
        self.beats = 0

    def is_connected(self) -> bool:
        return self.connected

    def beat(self) -> None:
        self.beats += 1


async def until(done: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not done():
            await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_BEAT_SECONDS", 0.005)
    monkeypatch.setattr(client, "_BEAT_PAUSE_SECONDS", 0.0)


def run(scenario: Callable[[Any], Awaitable[None]]) -> None:
    async def with_pings() -> None:
        await scenario(Pings())

    asyncio.run(with_pings())


def test_all_clients_beat_again_and_again_also_more_than_fit_into_one_turn() -> None:
    async def scenario(pings: Any) -> None:
        clients = [FakeClient() for _ in range(120)]
        for it in clients:
            pings.begin(it)
        await until(lambda: all(it.beats >= 3 for it in clients))
        for it in clients:
            pings.end(it)

    run(scenario)


def test_a_client_that_has_ended_or_lost_its_connection_beats_no_more() -> None:
    async def scenario(pings: Any) -> None:
        ended, lost, live = FakeClient(), FakeClient(connected=False), FakeClient()
        for it in (ended, lost, live):
            pings.begin(it)
        pings.end(ended)
        await until(lambda: live.beats >= 3)
        assert ended.beats == lost.beats == 0

    run(scenario)


def test_a_client_that_connects_again_beats_again() -> None:
    async def scenario(pings: Any) -> None:
        one = FakeClient(connected=False)
        pings.begin(one)
        await asyncio.sleep(0.02)
        one.connected = True
        pings.begin(one)
        pings.begin(one)
        await until(lambda: one.beats >= 2)

    run(scenario)
