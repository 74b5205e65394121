"""A host while a real Redis refuses its commands: nothing ends, nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_module
from structlog.testing import capture_logs
from support.hosts import SESSION, HostBench, host_on
from support.links import stored_links
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import say, texts

from afx.cluster import keys, report_stream
from afx.cluster.connection import connect, connect_async
from afx.cluster.redis_faults import RedisFault, error_code, fault_of
from afx.cluster.reports import Report, Trouble
from afx.lab import redis_troubles
from afx.lab.redis_troubles import Undo
from afx.local import private_redis
from afx.reasons import TroubleReason

Break = Callable[["Server"], Undo]


class Server:
    """A Redis of one test alone."""

    def __init__(self, home: Path) -> None:
        private_redis.ensure(home)
        self.data = home / "redis"
        self.url = private_redis.url_for(home)
        self.client = connect(self.url)


@pytest.fixture
def server(home: Path) -> Iterator[Server]:
    made = Server(home)
    yield made
    made.client.close()
    private_redis.stop(home)


FAULTS: dict[RedisFault, Break] = {
    RedisFault.OUT_OF_MEMORY: lambda it: redis_troubles.run_out_of_memory(it.client),
    RedisFault.READ_ONLY: lambda it: redis_troubles.become_replica(it.client),
    RedisFault.NOT_PERMITTED: lambda it: redis_troubles.deny_writes(it.client),
    RedisFault.BUSY: lambda it: redis_troubles.be_busy(it.client, it.url),
    RedisFault.TOO_FEW_REPLICAS: lambda it: redis_troubles.lose_replicas(it.client),
    RedisFault.CANNOT_SAVE: lambda it: redis_troubles.fail_to_save(it.client, it.data),
}


def scenario_on(
    server: Server, home: Path, scenario: Callable[[HostBench, asyncio.Task[None]], Any]
) -> None:
    """Run a test on a host whose loops run."""

    async def main(sandbox: SandboxHarness) -> None:
        async with host_on(server.url, home) as host:
            running = asyncio.create_task(host.run())
            bench = HostBench(sandbox, host, server.client)
            try:
                await scenario(bench, running)
                assert not running.done()
                host.close()
                await running
            finally:
                await abandon(running)

    run_scenario(main)


async def abandon(running: asyncio.Task[None]) -> None:
    """End what waits until Redis takes its reports, which it never does once a test has failed."""
    while not running.done():
        running.cancel()
        await asyncio.sleep(0.05)


def reports_but_of_catch_up(bench: HostBench) -> list[Report]:
    """Return what was reported; two kinds of a session come at any time after its connection."""
    reports = report_stream.read(bench.redis, "0", block_seconds=0.01).reports
    return [it for it in reports if it.kind not in ("caught_up", "login_limit")]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_session_forwards_on_while_redis_refuses_and_all_is_stored_later(
    server: Server, home: Path, fault: RedisFault
) -> None:
    async def scenario(bench: HostBench, running: asyncio.Task[None]) -> None:
        source, to = bench.add_rule()
        await bench.start(5)
        await until(lambda: bench.redis.xlen(keys.REPORTS))
        with capture_logs() as logs:
            mend = await asyncio.to_thread(FAULTS[fault], server)
            say(bench.sandbox, source, "one", "two")
            await until(lambda: texts(to) == ["one", "two"])
            host = bench.host
            host.reports.trouble(SESSION, 5, TroubleReason.SEND_FAILED, "an example")
            await until(lambda: host.redis_trouble.fault_in("report") is fault)
            await until(lambda: host.redis_trouble.fault_in("commit") is fault)
            # Several more tries of each.
            await asyncio.sleep(1.0)
        assert len([it for it in logs if it.get("work") == "report"]) == 1
        assert len([it for it in logs if it.get("work") == "commit"]) == 1
        assert bench.host.reports.waiting
        assert not running.done()
        await asyncio.to_thread(mend)
        await until(lambda: not bench.host.reports.waiting)
        await until(lambda: bench.redis.hget(keys.cursor(SESSION), f"channel:{source.id}") == "3")
        kinds = [it.kind for it in reports_but_of_catch_up(bench)]
        assert kinds[:2] == ["running", "trouble"]
        assert set(kinds[2:]) <= {"active"}
        assert [len(it) for it in stored_links(bench.redis, 1).values()] == [2]

    scenario_on(server, home, scenario)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_session_that_is_ordered_to_start_waits_for_redis_and_does_not_fail(
    server: Server, home: Path, fault: RedisFault
) -> None:
    async def scenario(bench: HostBench, running: asyncio.Task[None]) -> None:
        bench.assign(5)
        bench.publish(5)
        mend = await asyncio.to_thread(FAULTS[fault], server)
        await bench.host.order_start(1, [(SESSION, 5)])
        work = "load" if fault is RedisFault.BUSY else "commit"
        await until(lambda: bench.host.redis_trouble.fault_in(work))
        assert not bench.reported()
        await asyncio.to_thread(mend)
        await until(lambda: not bench.host._residents.starting)
        await until(lambda: not bench.host.reports.waiting)
        reports = report_stream.read(bench.redis, "0", block_seconds=1).reports
        kinds = [it.kind for it in reports if it.kind != "login_limit"]
        assert kinds[:1] == ["running"]
        assert set(kinds[1:]) <= {"caught_up"}

    scenario_on(server, home, scenario)


def test_a_host_that_ends_keeps_its_reports_until_redis_takes_them(
    server: Server, home: Path
) -> None:
    async def main(sandbox: SandboxHarness) -> None:
        async with host_on(server.url, home) as host:
            running = asyncio.create_task(host.run())
            bench = HostBench(sandbox, host, server.client)
            await bench.start(5)
            await until(lambda: [it.kind for it in reports_but_of_catch_up(bench)] == ["running"])
            mend = redis_troubles.run_out_of_memory(server.client)
            host.close()
            await until(lambda: host.redis_trouble.fault_in("report"))
            assert not running.done()
            mend()
            await running
            assert [it.kind for it in reports_but_of_catch_up(bench)] == ["running", "stopped"]

    run_scenario(main)


def test_the_progress_of_a_session_whose_key_is_malformed_delays_no_other(
    server: Server, home: Path
) -> None:
    async def scenario(bench: HostBench, running: asyncio.Task[None]) -> None:
        source, to = bench.add_rule()
        await bench.start(5)
        await until(lambda: bench.redis.xlen(keys.REPORTS))
        bench.redis.delete(keys.cursor(SESSION))
        bench.redis.set(keys.cursor(SESSION), "not a hash")
        say(bench.sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        await until(lambda: "trouble" in [it.kind for it in reports_but_of_catch_up(bench)])
        troubles = [it for it in reports_but_of_catch_up(bench) if isinstance(it, Trouble)]
        assert {it.reason for it in troubles} == {TroubleReason.STATE_MALFORMED}
        assert bench.host.redis_trouble.fault_in("commit") is None
        bench.redis.delete(keys.cursor(SESSION))

    scenario_on(server, home, scenario)


@pytest.mark.parametrize("fault", [RedisFault.READ_ONLY, RedisFault.TOO_FEW_REPLICAS], ids=str)
def test_a_connection_to_a_server_that_is_not_the_primary_is_left(
    server: Server, fault: RedisFault
) -> None:
    client = connect(server.url)
    before = client.client_id()
    assert client.client_id() == before
    mend = FAULTS[fault](server)
    with pytest.raises(redis_module.ResponseError):
        client.set("any", "value")
    assert client.client_id() != before
    mend()
    client.close()


def test_an_asyncio_connection_to_a_server_that_is_not_the_primary_is_left(
    server: Server,
) -> None:
    async def scenario() -> None:
        client = connect_async(server.url)
        before = await client.client_id()
        mend = redis_troubles.become_replica(server.client)
        answers = (
            await client.pipeline(transaction=False)
            .set("a", 1)
            .set("b", 1)
            .execute(raise_on_error=False)
        )
        assert [fault_of(it) for it in answers] == [RedisFault.READ_ONLY] * 2
        assert await client.client_id() != before
        mend()
        await client.aclose()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (redis_module.ResponseError("MISCONF Redis is configured to save"), "MISCONF"),
        (redis_module.ResponseError("wrong number of arguments"), ""),
        (redis_module.exceptions.TryAgainError("any"), "TRYAGAIN"),
        (redis_module.ConnectionError("BUSY"), ""),
        (ValueError("OOM any"), ""),
    ],
)
def test_the_code_of_an_error_is_what_redis_began_it_with(error: Exception, code: str) -> None:
    assert error_code(error) == code
