"""Live events: what each client gets, and what it gets again after it was away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from support.api import TestedApi

from afx.api.hub import Hub
from afx.api.kept import Kept
from afx.cluster import events


async def take(stream: AsyncIterator[bytes], count: int) -> list[bytes]:
    found = []
    async with asyncio.timeout(60):
        async for it in stream:
            found.append(it)
            if len(found) == count:
                break
    return found


def hub_of(api: TestedApi) -> Hub:
    return Hub(api.api.system, api.api.threads, Kept(), interval=0.05)


def test_a_client_gets_the_events_of_its_topics_with_their_ids(api: TestedApi) -> None:
    async def run() -> None:
        hub = hub_of(api)
        stream = hub.stream(frozenset(("events",)), "")
        assert await take(stream, 1) == [b"retry: 1000\n\n"]
        hub.publish("nodes", [])
        hub.publish("events", {"kind": "x"})
        [frame] = await take(stream, 1)
        lines = frame.decode().splitlines()
        assert lines[1:] == ["event: events", 'data: {"kind":"x"}', ""]
        again = hub.stream(frozenset(("events", "nodes")), lines[0].removeprefix("id: ")[:-1] + "1")
        assert b"x" in (await take(again, 2))[1]

    api.run(run())


def test_a_client_that_was_away_too_long_reads_everything_again(api: TestedApi) -> None:
    async def run() -> None:
        hub = hub_of(api)
        for _ in range(700):
            hub.publish("events", {})
        for last in ("other-1", f"{hub._boot}-1", f"{hub._boot}-9999", "x", f"{hub._boot}-x"):
            frames = await take(hub.stream(frozenset(("events",)), last), 2)
            assert b"event: resync" in frames[1]

    api.run(run())


def test_what_the_coordinator_announces_reaches_the_clients(api: TestedApi) -> None:
    async def run() -> None:
        hub = hub_of(api)
        stream = hub.stream(frozenset(("events", "status")), "")
        await take(stream, 1)
        watching = asyncio.create_task(hub.run())
        assert b"event: status" in (await take(stream, 1))[0]
        events.announce(api.servers.redis(), "node_lost", node="w1")
        assert b"node_lost" in (await take(stream, 1))[0]
        hub.close()
        assert [it async for it in stream] == []
        watching.cancel()

    api.run(run())


def test_what_happened_while_nobody_listened_is_no_news(api: TestedApi) -> None:
    async def run() -> None:
        hub = hub_of(api)
        hub.clients = 1
        await hub.read()
        hub.clients = 0
        watching = asyncio.create_task(hub.run())
        async with asyncio.timeout(60):
            while hub._last_event:
                await asyncio.sleep(0.01)
        events.announce(api.servers.redis(), "old")
        stream = hub.stream(frozenset(("events", "nodes")), "")
        await take(stream, 2)  # the cluster was read
        events.announce(api.servers.redis(), "new")
        while not (news := [it for it in await take(stream, 1) if b"event: events" in it]):
            pass
        assert b"new" in news[0] and b"old" not in b"".join(it.data for it in hub._frames)
        hub.close()
        await watching

    api.run(run())


def test_the_only_client_gets_what_it_missed_when_it_comes_back_soon(api: TestedApi) -> None:
    async def run() -> None:
        hub = Hub(api.api.system, api.api.threads, Kept(), interval=2.0)
        hub.clients = 1
        await hub.read()
        hub.clients = 0
        await hub._try(hub._hear)
        events.announce(api.servers.redis(), "missed")
        hub.clients = 1
        await hub._try(hub._hear)
        assert any(b"missed" in it.data for it in hub._frames)

    api.run(run())


def test_events_of_a_redis_whose_clock_has_gone_back_are_seen(api: TestedApi) -> None:
    async def run() -> None:
        hub = hub_of(api)
        await hub.read()
        hub._last_event = f"{2**60}-0"  # read before a failover
        await hub.read()
        events.announce(api.servers.redis(), "node_lost")
        await hub._hear()
        assert any(b"node_lost" in it.data for it in hub._frames)

    api.run(run())


def test_closing_ends_every_stream_at_once(api: TestedApi) -> None:
    async def run() -> float:
        hub = hub_of(api)
        streams = [hub.stream(frozenset(("events",)), "") for _ in range(50)]
        for it in streams:
            await take(it, 1)
        ends = [asyncio.ensure_future(take(it, 1)) for it in streams]
        await asyncio.sleep(0)
        began = time.monotonic()
        hub.close()
        assert await asyncio.gather(*ends) == [[]] * 50
        assert hub.clients == 0
        return time.monotonic() - began

    assert api.run(run()) < 0.5


def test_recent_events_are_a_list_without_a_stream(api: TestedApi) -> None:
    events.announce(api.servers.redis(), "leader_elected", term=3)
    found = api.get("/api/v1/events", params={"limit": 1}).json()
    assert [it["kind"] for it in found] == ["leader_elected"]
