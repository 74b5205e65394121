"""Invite links of the sandbox."""

from __future__ import annotations

import pytest
from support.raw import input_peer, raw
from support.sandbox import SandboxHarness, run_scenario
from telethon import errors
from telethon.tl import functions, types

Check = functions.messages.CheckChatInviteRequest
Join = functions.messages.ImportChatInviteRequest


def test_a_link_tells_of_its_chat_and_makes_members() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        creator, guest = world.add_account(), world.add_account()
        channel = world.add_channel("c", creator=creator.id)
        hers = await sandbox.client(sandbox.login(creator))
        his = await sandbox.client(sandbox.login(guest))
        made = await raw(
            hers, functions.messages.ExportChatInviteRequest(input_peer(creator, channel))
        )
        link = made.link.rpartition("+")[2]
        found = await raw(his, Check(link))
        assert isinstance(found, types.ChatInvite)
        assert (found.title, found.broadcast) == ("c", True)
        joined = await raw(his, Join(link))
        assert isinstance(joined, types.messages.ChatInviteJoinResultOk)
        assert guest.id in channel.members
        assert isinstance(await raw(his, Check(link)), types.ChatInviteAlready)
        with pytest.raises(errors.UserAlreadyParticipantError):
            await raw(his, Join(link))

    run_scenario(scenario)


def test_a_link_may_ask_for_an_admin_may_expire_or_lead_nowhere() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        guest = world.add_account()
        channel = world.add_channel("c")
        asks, old = world.invite(channel.id, asks=True), world.invite(channel.id)
        old.expired = True
        his = await sandbox.client(sandbox.login(guest))
        with pytest.raises(errors.InviteRequestSentError):
            await raw(his, Join(asks.hash))
        assert asks.requests == {guest.id}
        with pytest.raises(errors.InviteHashExpiredError):
            await raw(his, Check(old.hash))
        with pytest.raises(errors.InviteHashInvalidError):
            await raw(his, Check("unknown"))
        with pytest.raises(errors.InviteHashEmptyError):
            await raw(his, Check(""))

    run_scenario(scenario)
