"""One timer pings all clients of a process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from afx.telegram import client
from afx.telegram.client import Pings


class FakeClient:
    """Stands in for a client: counts its pings."""

    def __init__(self, *, connected: bool = True) -> None:
        self.connected = connected
        self.pings = 0

    def is_connected(self) -> bool:
        return self.connected

    def ping(self) -> None:
        self.pings += 1


async def until(done: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not done():
            await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_PING_SECONDS", 0.005)
    monkeypatch.setattr(client, "_PING_PAUSE_SECONDS", 0.0)


def run(scenario: Callable[[Any], Awaitable[None]]) -> None:
    async def with_pings() -> None:
        await scenario(Pings())

    asyncio.run(with_pings())


def test_all_clients_are_pinged_again_and_again_also_more_than_fit_into_one_turn() -> None:
    async def scenario(pings: Any) -> None:
        clients = [FakeClient() for _ in range(120)]
        for it in clients:
            pings.begin(it)
        await until(lambda: all(it.pings >= 3 for it in clients))
        for it in clients:
            pings.end(it)

    run(scenario)


def test_a_client_that_has_ended_or_lost_its_connection_is_pinged_no_more() -> None:
    async def scenario(pings: Any) -> None:
        ended, lost, live = FakeClient(), FakeClient(connected=False), FakeClient()
        for it in (ended, lost, live):
            pings.begin(it)
        pings.end(ended)
        await until(lambda: live.pings >= 3)
        assert ended.pings == lost.pings == 0

    run(scenario)


def test_a_client_that_connects_again_is_pinged_again() -> None:
    async def scenario(pings: Any) -> None:
        one = FakeClient(connected=False)
        pings.begin(one)
        await asyncio.sleep(0.02)
        one.connected = True
        pings.begin(one)
        pings.begin(one)
        await until(lambda: one.pings >= 2)

    run(scenario)
