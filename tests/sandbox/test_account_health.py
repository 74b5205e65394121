"""Accounts of the sandbox that are limited, frozen or banned; chats that not all may write to."""

from __future__ import annotations

import pytest
from support.sandbox import SandboxHarness, run_scenario
from telethon import errors
from telethon.tl import functions, types

from afx.telegram.errors import error_name


def test_a_frozen_account_reads_and_is_told_until_when() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(posters=(account,))
        account.health = "frozen"
        client = await sandbox.client(sandbox.login(account), flood_sleep_threshold=0)
        assert (await client.get_me()).id == account.id
        peer = types.InputPeerChannel(channel.id, channel.hash_for(account.id))
        with pytest.raises(errors.FrozenMethodInvalidError):
            await client(functions.messages.SendMessageRequest(peer, "x", random_id=1))
        config = await client(functions.help.GetAppConfigRequest(0))
        found = {it.key for it in config.config.value}
        assert {"freeze_since_date", "freeze_until_date", "freeze_appeal_url"} <= found

    run_scenario(scenario)


def test_a_banned_account_gets_no_answer_but_that() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        client = await sandbox.client(sandbox.login(account))
        account.health = "banned"
        with pytest.raises(errors.UserDeactivatedBanError):
            await client(functions.updates.GetStateRequest())

    run_scenario(scenario)


def test_sends_are_refused_by_limits_stars_and_privacy() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account, other = (sandbox.server.world.add_account() for _ in range(2))
        paid = sandbox.channel(posters=(account,))
        paid.stars, other.premium_only = 3, True
        client = await sandbox.client(sandbox.login(account))
        channel = types.InputPeerChannel(paid.id, paid.hash_for(account.id))
        user = types.InputPeerUser(other.id, other.hash_for(account.id))

        async def refusal(peer: object) -> str:
            request = functions.messages.SendMessageRequest(peer, "x", random_id=1)
            with pytest.raises(errors.RPCError) as caught:
                await client(request)
            return error_name(caught.value)

        assert await refusal(channel) == "ALLOW_PAYMENT_REQUIRED_3"
        assert await refusal(user) == "PRIVACY_PREMIUM_REQUIRED"
        account.health = "limited"
        assert await refusal(channel) == "PEER_FLOOD"

    run_scenario(scenario)
