"""A session that has a proxy connects through it, and in no other way."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import redis as redis_module
from support.fronts import EXIT, front_of
from support.hosts import SESSION, HostBench, host_on, settle
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import say, texts
from support.specs import KEY

from afx.cluster.reports import Failed, Trouble
from afx.devices import Device
from afx.proxies import ProxyKind
from afx.reasons import FailureReason, TroubleReason
from afx.security.vault import Vault
from afx.telegram.client import AccountClient

OTHER_EXIT = "127.0.0.78"


@pytest.fixture
def run(
    redis_url: str, redis: redis_module.Redis, home: Any
) -> Callable[[Callable[[HostBench], Coroutine[Any, Any, None]]], None]:
    def run_on_host(scenario: Callable[[HostBench], Coroutine[Any, Any, None]]) -> None:
        async def main(sandbox: SandboxHarness) -> None:
            async with host_on(redis_url, home) as host:
                await scenario(HostBench(sandbox, host, redis))
                assert not sandbox.server.connections.overlaps
                assert not sandbox.server.connections.two_exits

        run_scenario(main)

    return run_on_host


def failures(bench: HostBench) -> list[Failed]:
    return [it for it in bench.host.reports.waiting if isinstance(it, Failed)]


def exits(bench: HostBench) -> set[str]:
    return bench.sandbox.server.connections.exits.get(bench.account.id, set())


@pytest.mark.parametrize("kind", list(ProxyKind))
def test_a_session_forwards_through_its_proxy(run: Any, kind: ProxyKind) -> None:
    async def scenario(bench: HostBench) -> None:
        source, to = bench.add_rule()
        async with front_of(bench.sandbox, kind) as (_front, proxy):
            bench.set_proxy(proxy)
            await bench.start(5)
            await until(lambda: ("running", 5) in bench.reported())
            say(bench.sandbox, source, "one", "two")
            await until(lambda: texts(to) == ["one", "two"])
            assert exits(bench) == {EXIT}
            await bench.stop(5)
            await until(lambda: ("stopped", 5) in bench.reported())
            await settle(bench.host)

    run(scenario)


def test_a_session_whose_proxy_is_away_fails_with_the_reason_and_connects_nowhere(
    run: Any,
) -> None:
    async def scenario(bench: HostBench) -> None:
        async with front_of(bench.sandbox, ProxyKind.SOCKS5) as (front, proxy):
            await front.stop()
            bench.set_proxy(proxy)
            await bench.start(5)
            await until(lambda: failures(bench))
            [failed] = failures(bench)
            assert failed.reason is FailureReason.PROXY_UNREACHABLE
            assert "its proxy" in failed.text and proxy.host not in failed.text
            assert not exits(bench)

    run(scenario)


def test_a_proxy_that_another_proxys_place_was_given_opens_nowhere(run: Any) -> None:
    async def scenario(bench: HostBench) -> None:
        async with front_of(bench.sandbox, ProxyKind.SOCKS5) as (front, _proxy):
            bench.sealed_proxy = "1.0.AAAA"
            await bench.start(5)
            await until(lambda: failures(bench))
            assert failures(bench)[0].reason is FailureReason.PROXY_UNREADABLE
            assert not front.accepted
            assert not exits(bench)

    run(scenario)


def test_a_session_whose_proxy_dies_waits_for_it_and_misses_nothing(run: Any) -> None:
    async def scenario(bench: HostBench) -> None:
        source, to = bench.add_rule()
        async with front_of(bench.sandbox, ProxyKind.SOCKS5) as (front, proxy):
            bench.set_proxy(proxy)
            await bench.start(5)
            await until(lambda: ("running", 5) in bench.reported())
            await front.stop()
            await until(
                lambda: any(
                    it.reason is TroubleReason.PROXY_FAILED
                    for it in bench.host.reports._troubles.values()
                    if isinstance(it, Trouble)
                )
            )
            say(bench.sandbox, source, "while it was away")
            await front.start()
            await until(lambda: texts(to) == ["while it was away"])
            assert exits(bench) == {EXIT}
            await bench.stop(5)
            await until(lambda: ("stopped", 5) in bench.reported())
            await settle(bench.host)

    run(scenario)


def test_a_session_is_one_device_on_every_host_and_an_imported_one_keeps_its_own(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(bench: HostBench) -> None:
        said: list[Any] = []
        introduction = AccountClient._introduction

        def note(client: AccountClient) -> Any:
            said.append(introduction(client))
            return introduction(client)

        monkeypatch.setattr(AccountClient, "_introduction", note)
        own = Device("Pixel 6", "SDK 33", "10.1", "de", "de-DE", "android", 4, "0" * 32)
        for epoch, sealed in (
            (5, ""),
            (6, Vault([KEY]).seal_device(own.text, session_id=SESSION)),
        ):
            bench.sealed_device = sealed
            await bench.start(epoch)
            await until(lambda: ("running", epoch) in bench.reported())  # noqa: B023
        first, second = said
        assert (first.device_model, first.system_version) == (f"afx {SESSION}", "Linux")
        assert (second.api_id, second.device_model, second.system_version, second.app_version) == (
            4,
            "Pixel 6",
            "SDK 33",
            "10.1",
        )
        assert (second.lang_code, second.system_lang_code, second.lang_pack) == (
            "de",
            "de-DE",
            "android",
        )
        bench.sealed_device = Vault([KEY]).seal_device(own.text, session_id=SESSION + 1)
        await bench.start(7)
        await until(lambda: failures(bench))
        assert failures(bench)[0].reason is FailureReason.LOGIN_UNREADABLE
        await settle(bench.host)

    run(scenario)


def test_with_another_proxy_a_session_stops_before_it_starts(run: Any) -> None:
    async def scenario(bench: HostBench) -> None:
        source, to = bench.add_rule()
        async with (
            front_of(bench.sandbox, ProxyKind.SOCKS5) as (_, first),
            front_of(bench.sandbox, ProxyKind.HTTP, exit_address=OTHER_EXIT) as (_, second),
        ):
            bench.set_proxy(first)
            await bench.start(5)
            await until(lambda: ("running", 5) in bench.reported())
            bench.set_proxy(second)
            await bench.start(6)  # supersedes: the old connection ends first
            await until(lambda: ("running", 6) in bench.reported())
            say(bench.sandbox, source, "one")
            await until(lambda: texts(to) == ["one"])
            assert exits(bench) == {EXIT, OTHER_EXIT}
            await bench.stop(6)
            await until(lambda: ("stopped", 6) in bench.reported())
            await settle(bench.host)
            assert bench.host._residents.session(SESSION) is None

    run(scenario)
