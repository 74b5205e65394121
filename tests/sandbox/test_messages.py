"""Reading, sending, forwarding, editing and deleting messages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from support.sandbox import SandboxHarness, run_scenario
from telethon import errors
from telethon.tl import types

from afx.sandbox.judge.flow import post


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
