"""A host against a sandbox: starts, stops and restarts of one session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import redis as redis_module
from support.hosts import INCARNATION, KEY, NODE, host_on, settle
from support.sandbox import SandboxHarness, run_scenario, until
from support.specs import stored_spec
from telethon.tl import functions

from afx.cluster import keys
from afx.node.host import Host
from afx.sandbox.errors import RpcError
from afx.sandbox.telegram.methods.call import HANDLERS
from afx.sandbox.telegram.peers import Account
from afx.security.vault import Vault

SESSION = 7
Scenario = Callable[["HostBench"], Coroutine[Any, Any, None]]


class HostBench:
    """One host, one account, and what the host has reported."""

    def __init__(self, sandbox: SandboxHarness, host: Host, redis: redis_module.Redis) -> None:
        self.sandbox = sandbox
        self.host = host
        self.account: Account = sandbox.server.world.add_account()
        self.redis = redis
        self._login = Vault([KEY]).seal(sandbox.login(self.account), session_id=SESSION)

    async def start(self, epoch: int) -> None:
        self.assign(epoch)
        self.redis.set(keys.spec(SESSION), stored_spec(SESSION, epoch, login=self._login))
        await self.host.order_start(1, [(SESSION, epoch)])

    def assign(self, epoch: int, incarnation: str = INCARNATION) -> None:
        assignment = {"node": NODE, "incarnation": incarnation, "epoch": epoch}
        self.redis.hset(keys.assignment(SESSION), mapping=assignment)

    async def stop(self, epoch: int) -> None:
        await self.host.order_stop(1, [(SESSION, epoch)])

    def reported(self) -> list[tuple[str, int]]:
        return [
            (it.kind, it.epoch)  # type: ignore[union-attr]
            for it in self.host.reports.waiting
            if it.kind != "trouble"
        ]

    def connections(self) -> int:
        return sum(
            it.key is not None and it.key.account_id == self.account.id
            for it in self.sandbox.server.connections
        )


@pytest.fixture
def run(redis_url: str, redis: redis_module.Redis, home: Any) -> Callable[[Scenario], None]:
    def run_on_host(scenario: Scenario) -> None:
        async def main(sandbox: SandboxHarness) -> None:
            async with host_on(redis_url, home) as host:
                bench = HostBench(sandbox, host, redis)
                await scenario(bench)
                assert not sandbox.server.connections.overlaps

        run_scenario(main)

    return run_on_host


class Flood:
    """Makes one method answer FLOOD_WAIT to its first calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, request: type, seconds: int) -> None:
        self.hits = 0
        self._seconds = seconds
        self._answer = HANDLERS[request]
        monkeypatch.setitem(HANDLERS, request, self._handle)

    def _handle(self, call: Any, request: Any) -> Any:
        if self.hits:
            return self._answer(call, request)
        self.hits += 1
        raise RpcError(420, f"FLOOD_WAIT_{self._seconds}")


def test_a_start_that_fails_late_does_not_hide_the_connection_of_the_next_one(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop that is answered while a connection is open leads to two live ones."""
    flood = Flood(monkeypatch, functions.updates.GetDifferenceRequest, seconds=1)

    async def scenario(bench: HostBench) -> None:
        await bench.start(5)
        await until(lambda: flood.hits)
        await bench.stop(5)
        await until(lambda: ("stopped", 5) in bench.reported())
        await bench.start(6)
        await until(lambda: ("running", 6) in bench.reported())
        await settle(bench.host)  # whatever the first start left behind has ended
        await bench.stop(6)
        await until(lambda: ("stopped", 6) in bench.reported())
        await until(lambda: bench.connections() == 0)

    run(scenario)


def test_a_login_that_leads_to_another_server_connects_nowhere(
    redis_url: str, redis: redis_module.Redis, home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected: list[Any] = []

    async def main(sandbox: SandboxHarness) -> None:
        monkeypatch.setattr(sandbox.server.connections, "opened", connected.append)
        async with host_on(redis_url, home, test_networks="") as host:
            bench = HostBench(sandbox, host, redis)
            await bench.start(5)
            await settle(host)
            assert bench.reported() == [("failed", 5)]
            assert host.reports.waiting[-1].reason == "server_not_allowed"  # type: ignore[union-attr]
            assert not connected

    run_scenario(main)


def test_a_stop_cancels_the_start_under_way_and_answers_when_it_has_ended(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    flood = Flood(monkeypatch, functions.updates.GetDifferenceRequest, seconds=3600)

    async def scenario(bench: HostBench) -> None:
        await bench.start(5)
        await until(lambda: flood.hits)
        await bench.stop(5)
        await settle(bench.host)
        assert bench.reported() == [("stopped", 5)]
        await until(lambda: bench.connections() == 0)

    run(scenario)


def test_a_newer_epoch_replaces_a_start_under_way(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    flood = Flood(monkeypatch, functions.updates.GetDifferenceRequest, seconds=3600)

    async def scenario(bench: HostBench) -> None:
        await bench.start(5)
        await until(lambda: flood.hits)
        await bench.start(6)
        await until(lambda: ("running", 6) in bench.reported())
        assert bench.reported() == [("stopped", 5), ("running", 6)]
        await until(lambda: bench.connections() == 1)

    run(scenario)


def test_a_newer_epoch_replaces_a_running_session(run: Any) -> None:
    async def scenario(bench: HostBench) -> None:
        await bench.start(5)
        await until(lambda: ("running", 5) in bench.reported())
        await bench.start(6)
        await until(lambda: ("running", 6) in bench.reported())
        assert bench.reported() == [("running", 5), ("stopped", 5), ("running", 6)]

    run(scenario)


def test_a_session_that_redis_gives_to_another_node_is_stopped(run: Any) -> None:
    async def scenario(bench: HostBench) -> None:
        await bench.start(5)
        await until(lambda: ("running", 5) in bench.reported())
        bench.assign(6, incarnation="another")
        resident = bench.host._residents.get(SESSION)
        assert resident is not None and resident.session is not None
        await bench.host._commits.commit([resident.session])
        await settle(bench.host)
        assert bench.reported() == [("running", 5), ("stopped", 5)]
        await until(lambda: bench.connections() == 0)

    run(scenario)


def test_a_lost_login_is_reported_once_and_ends_the_session(run: Any) -> None:
    async def scenario(bench: HostBench) -> None:
        await bench.start(5)
        await until(lambda: ("running", 5) in bench.reported())
        for key in bench.sandbox.server.keys.values():
            key.revoked = True
        bench.sandbox.server.connections.drop(bench.account.id)
        await until(lambda: ("failed", 5) in bench.reported())
        await settle(bench.host)
        assert bench.reported() == [("running", 5), ("failed", 5)]
        assert bench.host.reports.waiting[-1].reason == "login_lost"  # type: ignore[union-attr]
        await until(lambda: bench.connections() == 0)

    run(scenario)


def test_a_closing_host_ends_starts_and_sessions(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    flood = Flood(monkeypatch, functions.updates.GetDifferenceRequest, seconds=3600)

    async def scenario(bench: HostBench) -> None:
        await bench.start(5)
        await until(lambda: flood.hits)
        bench.host.close()
        await asyncio.wait_for(bench.host._empty.wait(), 10)
        assert bench.reported() == [("stopped", 5)]
        await until(lambda: bench.connections() == 0)

    run(scenario)


def test_an_error_that_redis_answers_ends_no_host(run: Any) -> None:
    async def scenario(bench: HostBench) -> None:
        running = asyncio.create_task(bench.host.run())
        residents = bench.host._residents
        await bench.start(5)
        await until(lambda: residents.alive and not residents.starting)
        bench.redis.delete(keys.cursor(SESSION))
        bench.redis.set(keys.cursor(SESSION), "not a hash")
        [session] = residents.sessions()
        session.mark_all_dirty()
        await until(lambda: bench.host._commits._problem)
        bench.redis.delete(keys.cursor(SESSION))
        await until(lambda: bench.redis.exists(keys.cursor(SESSION)))
        assert not running.done()
        bench.host.close()
        await running

    run(scenario)
