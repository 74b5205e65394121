"""Reading, sending, forwarding, editing and deleting messages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from support.raw import forward, input_peer, message_ids, messages_of, raw, text
from support.sandbox import SandboxHarness, run_scenario
from telethon import errors
from telethon.tl import functions, types

from afx.sandbox.judge.flow import post
from afx.sandbox.strictness import Strictness


def test_messages_can_be_sent_read_edited_and_deleted() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(posters=(account,))
        client = await sandbox.client(sandbox.login(account))
        await client.get_dialogs()
        sent = await client.send_message(channel.marked, "hello **world**")
        [stored] = await client.get_messages(channel.marked, 5)
        assert (stored.id, stored.raw_text, type(stored.entities[0])) == (
            sent.id,
            "hello world",
            types.MessageEntityBold,
        )
        await client.edit_message(channel.marked, sent.id, "changed")
        assert (await client.get_messages(channel.marked, ids=sent.id)).raw_text == "changed"
        await client.delete_messages(channel.marked, sent.id)
        assert len(await client.get_messages(channel.marked, 5)) == 0

    run_scenario(scenario)


def test_a_long_history_is_paged_in_both_directions() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(account)
        for number in range(1, 251):
            sandbox.server.world.post(channel, 0, f"message {number} " + "x" * 50)
        client = await sandbox.client(sandbox.login(account))
        await client.get_dialogs()
        newest_first = [it.id async for it in client.iter_messages(channel.marked)]
        oldest_first = [it.id async for it in client.iter_messages(channel.marked, reverse=True)]
        assert newest_first == list(range(250, 0, -1))
        assert oldest_first == list(range(1, 251))

    run_scenario(scenario)


def test_a_flood_wait_names_its_seconds() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(posters=(account,))
        sandbox.server.faults.add_flood(account.id, channel.marked, 20)
        client = await sandbox.client(sandbox.login(account), flood_sleep_threshold=0)
        await client.get_dialogs()
        with pytest.raises(errors.FloodWaitError) as caught:
            await client.send_message(channel.marked, "hello")
        assert caught.value.seconds == 20

    run_scenario(scenario)


def test_a_range_of_ids_comes_whole_and_deleted_ones_are_empty() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(account)
        for number in range(3):
            sandbox.server.world.post(channel, 0, str(number))
        sandbox.server.world.delete(channel.box, [2])
        client = await sandbox.client(sandbox.login(account))
        page = await raw(client, messages_of(account, channel, [1, 2, 3, 4]))
        assert [(it.id, type(it).__name__) for it in page.messages] == [
            (1, "Message"),
            (2, "MessageEmpty"),
            (3, "Message"),
            (4, "MessageEmpty"),
        ]
        with pytest.raises(errors.LimitInvalidError):
            await raw(client, messages_of(account, channel, list(range(201))))

    run_scenario(scenario)


def test_a_channel_s_history_may_end_where_its_log_ends() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(account)
        for number in range(9):
            sandbox.server.world.post(channel, 0, str(number))
        client = await sandbox.client(sandbox.login(account))
        await client.get_dialogs()
        assert [it.id async for it in client.iter_messages(channel.marked)] == [9, 8, 7]

    run_scenario(scenario, rules=Strictness(history_bounded=True), log_limit=3)


def test_an_edit_and_a_delete_reach_every_participant_s_copy() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        account, friend = world.add_account(), world.add_account()
        group = world.add_group("group", account.id, [friend.id])
        world.deliver(friend, friend, "the ids of the two differ")
        client = await sandbox.client(sandbox.login(account))
        sent = await raw(client, text(account, group, "first", 1))
        [(_, own)] = message_ids(sent.updates)
        named = input_peer(account, group)
        await raw(client, functions.messages.EditMessageRequest(named, own, message="edited"))
        assert list(friend.box.messages.values())[-1].text == "edited"
        await raw(client, functions.messages.DeleteMessagesRequest([own], revoke=True))
        assert [it.text for it in friend.box.messages.values()] == ["the ids of the two differ"]
        assert [it.kind for it in friend.box.log] == ["new", "new", "edit", "delete"]

    run_scenario(scenario)


def test_messages_that_may_not_be_forwarded_are_left_out() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        source, to = sandbox.channel(account), sandbox.channel(posters=(account,))
        sandbox.server.world.post(source, 0, "free")
        sandbox.server.world.post(source, 0, "secret", noforwards=True)
        client = await sandbox.client(sandbox.login(account))
        answer = await raw(client, forward(account, source, to, [1, 2, 9], [11, 12, 13]))
        assert message_ids(answer.updates) == [(11, 1)]
        with pytest.raises(errors.ChatForwardsRestrictedError):
            await raw(client, forward(account, source, to, [2], [14]))
        with pytest.raises(errors.MessageIdInvalidError):
            await raw(client, forward(account, source, to, [9], [15]))

    run_scenario(scenario)


def test_only_posters_may_post_in_a_channel() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(account)
        client = await sandbox.client(sandbox.login(account))
        await client.get_dialogs()
        with pytest.raises(errors.ChatWriteForbiddenError):
            await client.send_message(channel.marked, "hello")

    run_scenario(scenario)


def test_a_protected_channel_cannot_be_forwarded() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        source, to = sandbox.channel(account), sandbox.channel(posters=(account,))
        source.noforwards = True
        post(sandbox.server, source.marked, 0, "secret")
        client = await sandbox.client(sandbox.login(account))
        await client.get_dialogs()
        with pytest.raises(errors.ChatForwardsRestrictedError):
            await client.forward_messages(to.marked, 1, source.marked)

    run_scenario(scenario)


def test_a_message_for_later_is_refused_and_one_that_is_due_is_sent() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(posters=(account,))
        client = await sandbox.client(sandbox.login(account))
        await client.get_dialogs()
        now = datetime.now(UTC)
        with pytest.raises(errors.ScheduleDateInvalidError):
            await client.send_message(channel.marked, "later", schedule=now + timedelta(hours=1))
        await client.send_message(channel.marked, "at once", schedule=now)
        assert [it.text for it in channel.box.messages.values()] == ["at once"]

    run_scenario(scenario)
