"""Connections: logins that are used twice, cuts, refusals."""

from __future__ import annotations

import contextlib

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from telethon import errors
from telethon.tl import functions

from afx.sandbox.strictness import Strictness


def test_a_login_that_is_used_twice_at_once_is_revoked_and_the_overlap_recorded() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        login = sandbox.login(account)
        first = await sandbox.client(login, auto_reconnect=False)
        with pytest.raises((errors.AuthKeyDuplicatedError, ConnectionError)):
            second = await sandbox.client(login, auto_reconnect=False)
            await until(lambda: sandbox.server.connections.overlaps)
            await second.get_me()
        assert sandbox.server.connections.overlaps[0].account == account.id
        assert first

    run_scenario(scenario)


def test_a_login_that_moves_after_a_clean_disconnect_is_not_revoked() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        login = sandbox.login(sandbox.server.world.add_account())
        for _ in range(5):
            client = await sandbox.client(login)
            await client.get_me()
            await client.disconnect()
        assert not sandbox.server.connections.overlaps

    run_scenario(scenario)


def test_an_old_connection_that_is_open_but_silent_revokes_nothing() -> None:
    """As that of a stopped process: its socket is open, but it never answers."""

    async def scenario(sandbox: SandboxHarness) -> None:
        login = sandbox.login(sandbox.server.world.add_account())
        first = await sandbox.client(login, auto_reconnect=False)
        for loop in (first._sender._recv_loop_handle, first._sender._send_loop_handle):
            loop.cancel()
        second = await sandbox.client(login)
        await second.get_me()
        assert not sandbox.server.connections.overlaps

    run_scenario(scenario)


@pytest.mark.parametrize("allowed", [True, False])
def test_a_second_connection_for_files_is_judged_by_the_switch(allowed: bool) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        login = sandbox.login(account)
        main = await sandbox.client(login)
        await main.get_me()
        overlaps = sandbox.server.connections.overlaps
        with contextlib.suppress(errors.AuthKeyDuplicatedError, ConnectionError):
            files = await sandbox.client(login, receive_updates=False)
            await files(functions.upload.SaveFilePartRequest(1, 0, b"data"))
            await main(functions.updates.GetStateRequest())
        assert bool(overlaps) is not allowed
        with contextlib.suppress(errors.AuthKeyDuplicatedError, ConnectionError):
            await sandbox.client(login)
            await main(functions.updates.GetStateRequest())
        assert overlaps, "a second one that is used for more revokes the login"

    run_scenario(scenario, rules=Strictness(media_connections_allowed=allowed))


def test_cut_and_refused_connections_recover_when_the_fault_ends() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        login = sandbox.login(sandbox.server.world.add_account())
        client = await sandbox.client(login, connection_retries=1000, retry_delay=0.01)
        sandbox.server.faults.refusing = True
        assert sandbox.server.connections.drop() == 1
        await until(lambda: not sandbox.server.connections)
        sandbox.server.faults.refusing = False
        await until(lambda: sandbox.server.connections)
        assert await client.get_me()

    run_scenario(scenario)


def test_a_login_that_signs_out_receives_no_more_updates() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        client = await sandbox.client(sandbox.login(account))
        await client.get_me()
        assert sandbox.server.connections.live[account.id]
        await client(functions.auth.LogOutRequest())
        assert account.id not in sandbox.server.connections.live
        with pytest.raises(errors.AuthKeyUnregisteredError):
            await client(functions.updates.GetStateRequest())

    run_scenario(scenario)
