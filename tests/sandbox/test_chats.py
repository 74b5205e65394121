"""Finding chats, and the access hashes that guard them."""

from __future__ import annotations

import pytest
from support.sandbox import SandboxHarness, run_scenario
from telethon import errors
from telethon.tl import functions, types


def test_chats_are_found_by_name_and_by_id() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        account = world.add_account()
        channel = world.add_channel("News", username="news", members=[account.id])
        client = await sandbox.client(sandbox.login(account))
        found = await client.get_entity("@news")
        assert (found.id, found.title) == (channel.id, "News")
        assert (await client.get_entity(types.PeerChannel(channel.id))).title == "News"
        with pytest.raises(ValueError, match="No user has"):
            await client.get_entity("@nobody_at_all")

    run_scenario(scenario)


def test_a_wrong_access_hash_opens_nothing() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(account)
        client = await sandbox.client(sandbox.login(account))
        with pytest.raises(errors.ChannelInvalidError):
            await client(functions.channels.GetChannelsRequest([types.InputChannel(channel.id, 1)]))

    run_scenario(scenario)
