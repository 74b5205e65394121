"""A host against a sandbox: starts, stops and restarts of one session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import redis as redis_module
from support.hosts import SESSION, HostBench, host_on, settle
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import say, texts
from support.specs import SIGNING_KEYS
from telethon.tl import functions

from afx.cluster import keys
from afx.cluster.generation_proof import prove
from afx.cluster.reports import Inventory
from afx.sandbox.telegram.methods.call import HANDLERS

Scenario = Callable[[HostBench], Coroutine[Any, Any, None]]


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


class HeldStart:
    """Lets the first start get no answer to one of its requests."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hits = 0
        self._monkeypatch = monkeypatch
        self._answer = HANDLERS[functions.updates.GetStateRequest]

    def begin(self, sandbox: SandboxHarness) -> None:
        def handle(call: Any, request: Any) -> Any:
            self.hits += 1
            sandbox.server.faults.delay_seconds = 3600.0 if self.hits == 1 else 0.0
            return self._answer(call, request)

        self._monkeypatch.setitem(HANDLERS, functions.updates.GetStateRequest, handle)

    def end(self, sandbox: SandboxHarness) -> None:
        sandbox.server.faults.delay_seconds = 0.0


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> HeldStart:
    return HeldStart(monkeypatch)


def test_a_start_that_fails_late_does_not_hide_the_connection_of_the_next_one(
    run: Any, held: HeldStart
) -> None:
    """A stop that is answered while a connection is open leads to two live ones."""

    async def scenario(bench: HostBench) -> None:
        held.begin(bench.sandbox)
        await bench.start(5)
        await until(lambda: held.hits)
        await bench.stop(5)
        await until(lambda: ("stopped", 5) in bench.reported())
        held.end(bench.sandbox)
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
    run: Any, held: HeldStart
) -> None:
    async def scenario(bench: HostBench) -> None:
        held.begin(bench.sandbox)
        await bench.start(5)
        await until(lambda: held.hits)
        await bench.stop(5)
        await settle(bench.host)
        assert bench.reported() == [("stopped", 5)]
        await until(lambda: bench.connections() == 0)

    run(scenario)


def test_a_newer_epoch_replaces_a_start_under_way(run: Any, held: HeldStart) -> None:
    async def scenario(bench: HostBench) -> None:
        held.begin(bench.sandbox)
        await bench.start(5)
        await until(lambda: held.hits)
        held.end(bench.sandbox)
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
        [failed] = [it for it in bench.host.reports.waiting if it.kind == "failed"]
        assert failed.reason == "login_lost"  # type: ignore[union-attr]
        await until(lambda: bench.connections() == 0)

    run(scenario)


def test_a_closing_host_ends_starts_and_sessions(run: Any, held: HeldStart) -> None:
    async def scenario(bench: HostBench) -> None:
        held.begin(bench.sandbox)
        await bench.start(5)
        await until(lambda: held.hits)
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
        await until(lambda: bench.host.reports.waiting)
        bench.redis.delete(keys.cursor(SESSION))
        await until(lambda: bench.redis.exists(keys.cursor(SESSION)))
        assert not running.done()
        bench.host.close()
        await running

    run(scenario)


def test_a_session_has_not_caught_up_while_an_open_destination_has_an_outbox(run: Any) -> None:
    async def scenario(bench: HostBench) -> None:
        host = bench.host
        source, to = bench.add_rule()
        await bench.start(5)
        await until(lambda: ("running", 5) in bench.reported())
        await bench.stop(5)
        await settle(host)
        for number in range(3):
            say(bench.sandbox, source, f"missed {number}")
        bench.sandbox.server.faults.add_flood(bench.account.id, to.marked, 300)
        await bench.start(6)
        await until(lambda: ("running", 6) in bench.reported())
        session = host._residents.session(SESSION)
        assert session is not None
        await until(
            lambda: (
                session.forwarder.outboxes.has(to.marked)
                and session.reader.is_idle
                and not any(it.tickets for it in session.reader.boxes())
            )
        )
        host._report_caught_up()
        assert host._runner.catching_up == {SESSION}
        session.forwarder._lane(to.marked).close("it takes no messages")
        assert session.has_caught_up
        await bench.stop(6)
        await settle(host)

    run(scenario)


def test_a_session_has_caught_up_when_what_it_missed_is_delivered_and_says_so_once(
    run: Any,
) -> None:
    async def scenario(bench: HostBench) -> None:
        host = bench.host
        source, to = bench.add_rule()
        await bench.start(5)
        await until(lambda: ("running", 5) in bench.reported())
        await bench.stop(5)
        await settle(host)
        say(bench.sandbox, source, "missed")
        await bench.start(6)
        await until(lambda: ("running", 6) in bench.reported())

        def caught_up() -> bool:
            host._report_caught_up()
            return not host._runner.catching_up

        await until(caught_up)
        [report] = [it for it in host.reports.waiting if it.kind == "caught_up"]
        assert (report.session_ids, report.epochs) == ((SESSION,), (6,))  # type: ignore[union-attr]
        assert texts(to) == ["missed"]
        [active] = [it for it in host.reports.waiting if it.kind == "active"]
        assert active.session_ids == (SESSION,)  # type: ignore[union-attr]
        # A leader that has lost it asks again by the same order.
        await host.order_start(1, [(SESSION, 6)])
        assert host._runner.catching_up == {SESSION}
        await bench.stop(6)
        await settle(host)
        assert not host._runner.catching_up

    run(scenario)


def test_a_host_proves_with_what_it_runs_which_generation_it_knows_of(run: Any) -> None:
    """A leader whose SQL and Redis have lost it believes nothing else."""

    async def scenario(bench: HostBench) -> None:
        older, newest = (prove(SIGNING_KEYS, it) for it in (1, 2))
        for epoch, bench.proof in ((5, older), (6, newest), (7, older)):
            await bench.start(epoch)
            await settle(bench.host)
        await bench.host.order_inventory(9)
        await bench.host.order_inventory(2)  # both have lost terms as well
        _, report = [it for it in bench.host.reports.waiting if isinstance(it, Inventory)]
        assert (report.term, report.epochs, report.proof) == (2, (7,), newest)

    run(scenario)
