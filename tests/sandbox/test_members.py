"""Bans, migration, public channels, names and access hashes."""

from __future__ import annotations

from typing import Any

import pytest
from support.raw import (
    channel_difference,
    forward,
    input_channel,
    input_peer,
    messages_of,
    raw,
    text,
)
from support.sandbox import SandboxHarness, run_scenario, until
from telethon import errors, events
from telethon.tl import functions, types

from afx.sandbox.judge.flow import post
from afx.sandbox.strictness import Strictness
from afx.sandbox.telegram import membership


def test_a_banned_member_learns_it_and_can_neither_read_nor_send() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        creator, member = world.add_account(), world.add_account()
        group = world.add_channel("g", creator=creator.id, megagroup=True, members=[member.id])
        hers = await sandbox.client(sandbox.login(creator))
        his = await sandbox.client(sandbox.login(member))
        got: list[Any] = []
        his.add_event_handler(got.append, events.Raw(types.UpdateChannel))
        rights = types.ChatBannedRights(None, view_messages=True)
        named = input_peer(creator, member)
        await raw(
            hers,
            functions.channels.EditBannedRequest(input_channel(creator, group), named, rights),
        )
        await until(lambda: got)
        for request in (channel_difference(member, group, 1), text(member, group, "hi", 1)):
            with pytest.raises(errors.ChannelPrivateError):
                await raw(his, request)

    run_scenario(scenario)


def test_a_silenced_member_reads_and_cannot_send() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        creator, member = world.add_account(), world.add_account()
        group = world.add_channel("g", creator=creator.id, megagroup=True, members=[member.id])
        his = await sandbox.client(sandbox.login(member))
        membership.mute(sandbox.server.pushes, group, member)
        assert await raw(his, channel_difference(member, group, 1))
        with pytest.raises(errors.UserBannedInChannelError):
            await raw(his, text(member, group, "hi", 1))
        membership.mute(sandbox.server.pushes, group, member, on=False)
        await raw(his, text(member, group, "hi", 2))

    run_scenario(scenario)


def test_a_removed_member_may_be_let_in_again() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world, pushes = sandbox.server.world, sandbox.server.pushes
        member = world.add_account()
        channel = sandbox.channel(member)
        his = await sandbox.client(sandbox.login(member))
        membership.remove(pushes, channel, member, ban=False)
        with pytest.raises(errors.ChannelPrivateError):
            await raw(his, channel_difference(member, channel, 1))
        membership.readmit(world, pushes, channel, member)
        assert await raw(his, channel_difference(member, channel, 1))

    run_scenario(scenario)


def test_a_group_becomes_a_supergroup() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        creator, member = world.add_account(), world.add_account()
        group = world.add_group("g", creator.id, [member.id])
        hers = await sandbox.client(sandbox.login(creator))
        answer = await raw(hers, functions.messages.MigrateChatRequest(group.id))
        old, new = answer.chats
        assert (old.deactivated, old.migrated_to.channel_id) == (True, new.id)
        [notice] = member.box.messages.values()
        assert notice.action.channel_id == new.id
        [first] = world.channels[new.id].box.messages.values()
        assert first.action.chat_id == group.id
        with pytest.raises(errors.ChatIdInvalidError):
            await raw(hers, text(creator, group, "too late", 1))
        await raw(hers, text(creator, world.channels[new.id], "here", 2))

    run_scenario(scenario)


@pytest.mark.parametrize("public", [True, False])
def test_a_public_channel_is_readable_without_joining_and_a_private_one_is_not(
    public: bool,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        account = world.add_account()
        to = sandbox.channel(posters=(account,))
        channel = world.add_channel("news", username="news" if public else "")
        post(sandbox.server, channel.marked, 0, "hello")
        client = await sandbox.client(sandbox.login(account))
        requests = [
            channel_difference(account, channel, 1),
            messages_of(account, channel, [1]),
            forward(account, channel, to, [1], [7]),
        ]
        for request in requests:
            if public:
                assert await raw(client, request)
            else:
                with pytest.raises(errors.ChannelPrivateError):
                    await raw(client, request)

    run_scenario(scenario)


def test_a_channel_may_have_several_names() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        account = world.add_account()
        channel = world.add_channel("news", username="old_name", members=[account.id])
        membership.rename(world, channel, ["news_one", "news_two"])
        client = await sandbox.client(sandbox.login(account))
        for name in ("news_one", "news_two"):
            request = functions.contacts.ResolveUsernameRequest(name)
            [found] = (await raw(client, request)).chats
            assert found.username is None
            assert [it.username for it in found.usernames] == ["news_one", "news_two"]
        with pytest.raises(errors.UsernameNotOccupiedError):
            await raw(client, functions.contacts.ResolveUsernameRequest("old_name"))

    run_scenario(scenario)


@pytest.mark.parametrize("strict", [True, False])
def test_the_access_hash_of_another_account_is_of_no_use(strict: bool) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        account = world.add_account()
        channel = sandbox.channel(account)
        client = await sandbox.client(sandbox.login(account))
        named = types.InputChannel(channel.id, channel.hash_for(0))
        request = functions.channels.GetChannelsRequest([named])
        if strict:
            with pytest.raises(errors.ChannelInvalidError):
                await raw(client, request)
        else:
            assert await raw(client, request)

    run_scenario(scenario, rules=Strictness(hashes_per_account=strict))


def test_what_is_pushed_to_many_names_users_and_chats_by_min_objects() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        account, author = world.add_account(), world.add_account()
        group = world.add_channel("g", megagroup=True, members=[account.id, author.id])
        client = await sandbox.client(sandbox.login(account))
        got: list[Any] = []
        client.add_event_handler(got.append, events.Raw(types.UpdateNewChannelMessage))
        await raw(client, functions.updates.GetStateRequest())
        post(sandbox.server, group.marked, author.id, "hi")
        await until(lambda: got)
        user = got[0]._entities[author.id]
        assert user.min
        with pytest.raises(errors.PeerIdInvalidError):
            await raw(
                client,
                functions.users.GetUsersRequest([types.InputUser(user.id, user.access_hash)]),
            )
        seen = types.InputUserFromMessage(input_peer(account, group), 1, author.id)
        [whole] = await raw(client, functions.users.GetUsersRequest([seen]))
        assert not whole.min

    run_scenario(scenario)


def test_members_can_be_listed() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        creator, member = world.add_account(), world.add_account()
        group = world.add_channel("g", creator=creator.id, megagroup=True, members=[member.id])
        client = await sandbox.client(sandbox.login(member))
        await client.get_dialogs()
        found = await client.get_participants(group.marked)
        assert {it.id for it in found} == {creator.id, member.id}
        permissions = await client.get_permissions(group.marked, creator.id)
        assert permissions.is_creator

    run_scenario(scenario)
