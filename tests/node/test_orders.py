"""Orders to a host: late, doubled and repeated ones start nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import redis as redis_module
from support.hosts import host_on, settle
from support.specs import stored_spec

from afx.cluster import keys
from afx.node.host import Host

Scenario = Callable[[Host], Coroutine[Any, Any, None]]


@pytest.fixture
def run(redis_url: str, home: Any) -> Callable[[Scenario], None]:
    def run_scenario(scenario: Scenario) -> None:
        async def main() -> None:
            async with asyncio.timeout(20), host_on(redis_url, home) as host:
                await scenario(host)

        asyncio.run(main())

    return run_scenario


async def reported(host: Host) -> list[tuple[str, int, int]]:
    """Return the new reports, once nothing is under way."""
    await settle(host)
    found = [(it.kind, it.session_id, it.epoch) for it in host.reports.waiting]  # type: ignore[union-attr]
    await host.reports.flush()
    return found


def test_a_session_that_has_ended_under_an_epoch_never_starts_again_under_it(run: Any) -> None:
    async def scenario(host: Host) -> None:
        await host.order_start(1, [(7, 5)])
        assert await reported(host) == [("failed", 7, 5)]  # there is no spec
        await host.order_start(1, [(7, 5)])
        assert await reported(host) == [("stopped", 7, 5)]
        await host.order_start(1, [(7, 6)])
        assert await reported(host) == [("failed", 7, 6)]

    run(scenario)


def test_a_stop_that_overtakes_its_start_ends_that_epoch(run: Any) -> None:
    async def scenario(host: Host) -> None:
        await host.order_stop(1, [(7, 5)])
        assert await reported(host) == [("stopped", 7, 5)]
        await host.order_start(1, [(7, 5)])
        assert await reported(host) == [("stopped", 7, 5)]

    run(scenario)


def test_a_stop_right_after_a_start_is_answered_once(run: Any) -> None:
    async def scenario(host: Host) -> None:
        await host.order_start(1, [(7, 5)])
        await host.order_stop(1, [(7, 5)])
        assert await reported(host) == [("stopped", 7, 5)]

    run(scenario)


def test_a_start_that_arrives_twice_at_once_starts_once(
    run: Any, redis: redis_module.Redis
) -> None:
    redis.set(keys.spec(7), stored_spec(7, 5))

    async def scenario(host: Host) -> None:
        await asyncio.gather(*(host.order_start(1, [(7, 5)]) for _ in range(5)))
        assert await reported(host) == [("failed", 7, 5)]  # once: its login does not open

    run(scenario)


def test_two_epochs_in_one_order_leave_the_newer_one(run: Any, redis: redis_module.Redis) -> None:
    redis.set(keys.spec(7), stored_spec(7, 6))

    async def scenario(host: Host) -> None:
        await host.order_start(1, [(7, 5), (7, 6)])
        assert await reported(host) == [("stopped", 7, 5), ("failed", 7, 6)]

    run(scenario)


def test_starts_by_an_older_leader_and_under_an_older_epoch_are_refused(run: Any) -> None:
    async def scenario(host: Host) -> None:
        await host.order_start(3, [(7, 5)])
        assert (await host.order_start(2, [(8, 5)]))["refused"] == [8]
        assert (await host.order_start(3, [(7, 4)]))["refused"] == [7]
        assert (await host.order_stop(2, [(7, 5)]))["accepted"] == [7]
        assert (await host.order_start(2, [(8, 5)]))["refused"] == [8]

    run(scenario)


@pytest.mark.parametrize("spec", ["", "[]", "{", '{"session": 7}', '{"rules": [1]}'])
def test_a_spec_that_does_not_parse_fails_its_session_alone(
    run: Any, redis: redis_module.Redis, spec: str
) -> None:
    redis.set(keys.spec(7), spec)
    redis.set(keys.spec(8), stored_spec(8, 5))

    async def scenario(host: Host) -> None:
        await host.order_start(1, [(7, 5), (8, 5)])
        await settle(host)
        reasons = {it.session_id: it.reason for it in host.reports.waiting}  # type: ignore[union-attr]
        assert reasons == {7: "spec_invalid", 8: "login_unreadable"}

    run(scenario)


def test_a_closing_host_refuses_every_start(run: Any) -> None:
    async def scenario(host: Host) -> None:
        host.close()
        assert (await host.order_start(1, [(7, 5)]))["refused"] == [7]

    run(scenario)
