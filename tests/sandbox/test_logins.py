"""The logins of an account of the sandbox, and their end when nobody uses them."""

from __future__ import annotations

import pytest
from support.sandbox import SandboxHarness, run_scenario
from telethon import errors
from telethon.tl import functions

_DAY = 86_400
_LIST = functions.account.GetAuthorizationsRequest()


def test_an_account_sees_its_logins_and_says_how_long_they_last_without_use() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        sandbox.login(account, 2)
        client = await sandbox.client(sandbox.login(account))
        found = await client(_LIST)
        assert found.authorization_ttl_days == 183
        assert sorted(it.current for it in found.authorizations) == [False, True]
        assert await client(functions.account.SetAuthorizationTTLRequest(7)) is True
        assert (await client(_LIST)).authorization_ttl_days == 7
        with pytest.raises(errors.TtlDaysInvalidError):
            await client(functions.account.SetAuthorizationTTLRequest(0))

    run_scenario(scenario)


def test_a_login_that_nobody_uses_for_so_long_is_ended() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        client = await sandbox.client(sandbox.login(account))
        account.login_days = 1
        [login] = sandbox.server.logins(account.id)
        for _ in range(3):
            login.used_at -= 0.7 * _DAY
            await client(_LIST)
        login.used_at -= 1.1 * _DAY
        with pytest.raises(errors.SessionExpiredError):
            await client(_LIST)
        assert sandbox.server.logins(account.id) == []

    run_scenario(scenario)


def test_a_bot_is_not_told_of_logins() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        client = await sandbox.client(sandbox.login(sandbox.server.world.add_bot()))
        with pytest.raises(errors.BotMethodInvalidError):
            await client(_LIST)

    run_scenario(scenario)
