"""Pinned messages (api/pin)."""

from __future__ import annotations

from typing import Any

import pytest
from support.raw import channel_difference, forward, input_peer, message_ids, messages_of, raw, text
from support.sandbox import SandboxHarness, run_scenario, until
from telethon import errors
from telethon.tl import functions, types


def pin(peer: Any, number: int, **flags: bool) -> Any:
    return functions.messages.UpdatePinnedMessageRequest(peer, number, **flags)


def test_a_pin_in_a_channel_is_told_by_an_update_and_a_service_message() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(posters=(account,))
        sandbox.server.world.post(channel, 0, "important")
        client = await sandbox.client(sandbox.login(account))
        before = channel.box.pts
        answer = await raw(client, pin(input_peer(account, channel), 1))
        pinned, told = answer.updates
        assert (pinned.messages, pinned.pinned, pinned.pts_count) == ([1], True, 1)
        assert isinstance(told.message.action, types.MessageActionPinMessage)
        assert told.message.reply_to.reply_to_msg_id == 1
        page = await raw(client, messages_of(account, channel, [1]))
        assert page.messages[0].pinned
        missed = await raw(client, channel_difference(account, channel, before))
        assert [type(it) for it in missed.other_updates] == [types.UpdatePinnedChannelMessages]
        assert [type(it) for it in missed.new_messages] == [types.MessageService]

    run_scenario(scenario)


def test_an_unpin_has_no_service_message_and_one_that_changes_nothing_is_refused() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(posters=(account,))
        sandbox.server.world.post(channel, 0, "important")
        client = await sandbox.client(sandbox.login(account))
        peer = input_peer(account, channel)
        await raw(client, pin(peer, 1))
        [update] = (await raw(client, pin(peer, 1, unpin=True))).updates
        assert (update.messages, bool(update.pinned)) == ([1], False)
        with pytest.raises(errors.ChatNotModifiedError):
            await raw(client, pin(peer, 1, unpin=True))
        with pytest.raises(errors.MessageIdInvalidError):
            await raw(client, pin(peer, 99))

    run_scenario(scenario)


def test_all_pins_of_a_chat_are_removed_at_once() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(posters=(account,))
        client = await sandbox.client(sandbox.login(account))
        peer = input_peer(account, channel)
        for _ in range(2):
            message, _event = sandbox.server.world.post(channel, 0, "important")
            await raw(client, pin(peer, message.id))
        affected = await raw(client, functions.messages.UnpinAllMessagesRequest(peer))
        assert affected.pts_count == 2
        assert not any(it.pinned for it in channel.box.messages.values())

    run_scenario(scenario)


@pytest.mark.parametrize("one_sided", [False, True])
def test_a_private_pin_reaches_the_other_side_unless_it_is_for_one_side(one_sided: bool) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        account, friend = world.add_account(), world.add_account()
        world.deliver(friend, friend, "the ids of the two differ")
        client = await sandbox.client(sandbox.login(account))
        sent = await client(text(account, friend, "important", 1))
        await raw(client, pin(input_peer(account, friend), sent.id, pm_oneside=one_sided or None))
        [theirs] = [it for it in friend.box.messages.values() if it.text == "important"]
        told = [it for it in friend.box.messages.values() if it.action]
        assert theirs.pinned is not one_sided
        assert [it.reply_to for it in told] == ([] if one_sided else [theirs.id])

    run_scenario(scenario)


def test_the_others_are_told_of_a_pin() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        account, friend = world.add_account(), world.add_account()
        group = world.add_group("group", account.id, [friend.id])
        client = await sandbox.client(sandbox.login(account))
        other = await sandbox.client(sandbox.login(friend))
        seen: list[Any] = []

        async def note(update: Any) -> None:
            seen.append(update)

        other.add_event_handler(note)
        await other.get_me()
        answer = await raw(client, text(account, group, "important", 1))
        [(_, own)] = message_ids(answer.updates)
        await raw(client, pin(input_peer(account, group), own))
        await until(lambda: any(isinstance(it, types.UpdatePinnedMessages) for it in seen))

    run_scenario(scenario)


def test_a_member_of_a_supergroup_may_not_pin() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        account = world.add_account()
        channel = world.add_channel("group", megagroup=True, members=[account.id])
        world.post(channel, account.id, "important")
        client = await sandbox.client(sandbox.login(account))
        with pytest.raises(errors.ChatAdminRequiredError):
            await raw(client, pin(input_peer(account, channel), 1))

    run_scenario(scenario)


def test_a_service_message_is_neither_forwarded_nor_edited() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(posters=(account,))
        sandbox.server.world.post(channel, 0, "important")
        client = await sandbox.client(sandbox.login(account))
        peer = input_peer(account, channel)
        await raw(client, pin(peer, 1))
        with pytest.raises(errors.MessageIdInvalidError):
            await raw(client, forward(account, channel, channel, [2], [9]))
        with pytest.raises(errors.MessageIdInvalidError):
            await raw(client, functions.messages.EditMessageRequest(peer, 2, message="x"))
        answer = await raw(client, forward(account, channel, channel, [1, 2], [10, 11]))
        assert message_ids(answer.updates) == [(10, 3)]

    run_scenario(scenario)
