"""Connections that lead through a proxy, and never past it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop
from support.fronts import EXIT, front_of
from support.sandbox import SandboxHarness, running_sandbox
from telethon.tl import functions, types

from afx.devices import Device
from afx.proxies import Proxy, ProxyKind
from afx.reasons import FailureReason
from afx.telegram.client import AccountClient, Pings
from afx.telegram.login import Server
from afx.telegram.proxied import proxy_error_in
from afx.telegram.proxy_check import check_proxy
from afx.telegram.session import StoredSession
from afx.telegram.transport import guarded_connection, routed

KINDS = list(ProxyKind)


def account_client(sandbox: SandboxHarness, proxy: Proxy | None, login: str) -> AccountClient:
    connection = guarded_connection(lambda: True, lambda _host, _port: True, 2.0)
    client = AccountClient(
        StoredSession(login, {}, {}),
        api_id=1,
        api_hash="sandbox",
        connection=routed(connection, proxy),
        on_updates=lambda _: None,
        device=Device("test"),
        pings=Pings(),
    )
    sandbox.own(client)
    return client


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close a connection of a stranger; left open, it would fail a later test."""
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def run(
    scenario: Callable[[SandboxHarness], Awaitable[None]], loop: Any = asyncio.new_event_loop
) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60), running_sandbox() as sandbox:
            await scenario(sandbox)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(bounded())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("login", "loop"),
    [(False, asyncio.new_event_loop), (True, uvloop.new_event_loop)],
    ids=["open", "with a login"],
)
def test_an_account_is_connected_through_its_proxy(kind: ProxyKind, login: bool, loop: Any) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        async with front_of(sandbox, kind, login=login) as (front, proxy):
            client = account_client(sandbox, proxy, sandbox.login(account))
            await client.connect()
            for count in (1, 2, 700):  # packets of all sizes pass
                found = await client(
                    functions.users.GetUsersRequest([types.InputUserSelf()] * count)
                )
                assert {it.id for it in found} == {account.id}
            assert sandbox.server.connections.exits == {account.id: {EXIT}}
            assert front.relayed == [(sandbox.server.host, sandbox.server.port)]
            await client.disconnect()

    run(scenario, loop)


@pytest.mark.parametrize("kind", KINDS)
def test_a_proxy_that_is_away_is_never_passed_by(kind: ProxyKind) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        async with front_of(sandbox, kind) as (front, proxy):
            await front.stop()
            client = account_client(sandbox, proxy, sandbox.login(account))
            with pytest.raises(ConnectionError) as caught:
                await client.connect()
            found = proxy_error_in(caught.value)
            assert found is not None
            assert found.reason is FailureReason.PROXY_UNREACHABLE
            assert str(found).startswith("its proxy cannot be reached (")
            assert proxy.host not in str(found) and str(proxy.port) not in str(found)
            assert not sandbox.server.connections.exits
            assert not len(sandbox.server.connections)

    run(scenario)


@pytest.mark.parametrize("kind", [ProxyKind.SOCKS5, ProxyKind.HTTP])
def test_a_wrong_password_is_told_as_such(kind: ProxyKind) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        async with front_of(sandbox, kind, login=True) as (front, proxy):
            wrong = Proxy(kind, proxy.host, proxy.port, "ann", "wrong")
            client = account_client(sandbox, wrong, sandbox.login(account))
            with pytest.raises(ConnectionError) as caught:
                await client.connect()
            found = proxy_error_in(caught.value)
            assert found is not None
            assert found.reason is FailureReason.PROXY_REFUSED
            assert "wrong" not in str(found)
            assert not front.relayed

    run(scenario)


def test_a_wrong_secret_is_told_as_such() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        async with front_of(sandbox, ProxyKind.MTPROXY) as (front, proxy):
            wrong = Proxy(proxy.kind, proxy.host, proxy.port, secret=bytes(16))
            client = account_client(sandbox, wrong, sandbox.login(account))
            with pytest.raises(ConnectionError) as caught:
                await client.connect()
            found = proxy_error_in(caught.value)
            assert found is not None
            assert found.reason is FailureReason.PROXY_REFUSED
            assert not front.relayed

    run(scenario)


@pytest.mark.parametrize("kind", KINDS)
def test_a_check_asks_telegram_through_the_proxy_without_an_account(kind: ProxyKind) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        server = Server(sandbox.server.host, sandbox.server.port, "")
        async with front_of(sandbox, kind) as (front, proxy):
            found = await check_proxy(proxy, server)
            assert not found.error
            assert found.milliseconds is not None
            assert len(front.relayed) == 1
            await front.stop()
            found = await check_proxy(proxy, server)
            assert "cannot be reached" in found.error

    run(scenario)


@pytest.mark.parametrize("kind", KINDS)
def test_a_check_of_a_stranger_that_answers_nonsense_ends_with_what_is_wrong(
    kind: ProxyKind,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                await reader.read(1)
                writer.write(b"\x00" * 100_000)
                await reader.read()
            await closed(writer)

        async with await asyncio.start_server(babble, "127.0.0.1", 0) as stranger:
            port = stranger.sockets[0].getsockname()[1]
            secret = bytes(16) if kind is ProxyKind.MTPROXY else b""
            found = await check_proxy(
                Proxy(kind, "127.0.0.1", port, secret=secret),
                Server(sandbox.server.host, sandbox.server.port, ""),
                seconds=5,
            )
            assert found.error

    run(scenario)


def test_a_proxy_that_accepts_and_is_silent_is_given_up() -> None:
    async def scenario(_: SandboxHarness) -> None:
        async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                await reader.read()
            await closed(writer)

        async with await asyncio.start_server(nothing, "127.0.0.1", 0) as stranger:
            port = stranger.sockets[0].getsockname()[1]
            for kind in KINDS:
                secret = bytes(16) if kind is ProxyKind.MTPROXY else b""
                proxy = Proxy(kind, "127.0.0.1", port, secret=secret)
                found = await check_proxy(proxy, Server("127.0.0.1", 1, ""), seconds=0.2)
                assert "does not answer" in found.error or "passes nothing on" in found.error

    run(scenario)
