"""Bots of the sandbox: how they sign in, and what Telegram lets only people do."""

from __future__ import annotations

import pytest
from support.sandbox import SandboxHarness, run_scenario
from telethon import errors
from telethon.tl import functions, types


def test_a_bot_signs_in_with_its_token_and_says_that_it_is_one() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        bot = sandbox.server.world.add_bot("poster")
        client = await sandbox.client()
        await client.sign_in(bot_token=bot.bot_token)
        me = await client.get_me()
        assert (me.id, me.bot, me.phone) == (bot.id, True, None)
        other = await sandbox.client()
        with pytest.raises(errors.AccessTokenInvalidError):
            await other.sign_in(bot_token=f"{bot.id}:{'x' * 35}")

    run_scenario(scenario)


def test_what_is_for_people_only_is_refused_to_bots() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        bot, person = world.add_bot(), world.add_account()
        channel = sandbox.channel(bot, person)
        peer = types.InputPeerChannel(channel.id, channel.hash_for(bot.id))
        client = await sandbox.client(sandbox.login(bot))
        for request in (
            functions.messages.GetDialogsRequest(None, 0, types.InputPeerEmpty(), 10, 0),
            functions.messages.GetPeerDialogsRequest([types.InputDialogPeer(peer)]),
            functions.messages.GetHistoryRequest(peer, 0, None, 0, 10, 0, 0, 0),
            functions.channels.JoinChannelRequest(peer),
        ):
            with pytest.raises(errors.BotMethodInvalidError):
                await client(request)

    run_scenario(scenario)


def test_a_bot_names_its_chats_by_a_hash_of_zero_and_no_others() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        bot = sandbox.server.world.add_bot()
        own, other = sandbox.channel(bot), sandbox.channel()
        client = await sandbox.client(sandbox.login(bot))

        async def ask(channel: int) -> int:
            wanted = [types.InputChannel(channel, 0)]
            found = await client(functions.channels.GetChannelsRequest(wanted))
            return int(found.chats[0].id)

        assert await ask(own.id) == own.id
        with pytest.raises(errors.ChannelInvalidError):
            await ask(other.id)

    run_scenario(scenario)
