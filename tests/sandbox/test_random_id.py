"""random_id: a repeated call makes nothing new (core.telegram.org/api/updates)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from support.raw import channel_difference, forward, message_ids, raw, start, text
from support.sandbox import SandboxHarness, run_scenario
from telethon import errors
from telethon.tl import functions

from afx.sandbox.judge.flow import post
from afx.sandbox.scripted import FaultKind, ScriptedFault
from afx.sandbox.strictness import Strictness


def test_a_repeated_send_returns_the_message_of_the_first_call() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(posters=(account,))
        client = await sandbox.client(sandbox.login(account))
        first = await raw(client, text(account, channel, "once", 5))
        again = await raw(client, text(account, channel, "another text", 5))
        assert message_ids(again.updates) == message_ids(first.updates) == [(5, 1)]
        assert again.updates[1].message.message == "once"
        assert len(channel.box.messages) == 1

    run_scenario(scenario)


def test_another_session_of_the_account_cannot_repeat_it_either() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        account, friend = world.add_account(), world.add_account()
        first = await sandbox.client(sandbox.login(account))
        other = await sandbox.client(sandbox.login(account, number=2))
        sent = await raw(first, text(account, friend, "hi", 5))
        again = await raw(other, text(account, friend, "hi", 5))
        assert message_ids(again.updates) == [(5, sent.id)]
        assert len(friend.box.messages) == 1

    run_scenario(scenario)


def test_the_same_random_id_to_another_peer_is_another_message() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        one, two = sandbox.channel(posters=(account,)), sandbox.channel(posters=(account,))
        client = await sandbox.client(sandbox.login(account))
        await raw(client, text(account, one, "to one", 5))
        await raw(client, text(account, two, "to two", 5))
        assert [it.text for it in two.box.messages.values()] == ["to two"]

    run_scenario(scenario)


def test_a_forward_repeats_only_what_an_earlier_call_has_not_made() -> None:
    """Also when the earlier call was of another kind."""

    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        source, to = sandbox.channel(account), sandbox.channel(posters=(account,))
        for said in ("one", "two"):
            post(sandbox.server, source.marked, 0, said)
        client = await sandbox.client(sandbox.login(account))
        await raw(client, text(account, to, "the first call", 11))
        answer = await raw(client, forward(account, source, to, [1, 2], [11, 12]))
        assert message_ids(answer.updates) == [(11, 1), (12, 2)]
        assert [it.text for it in to.box.messages.values()] == ["the first call", "two"]

    run_scenario(scenario)


def test_a_repeat_is_refused_while_the_first_call_is_running() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(posters=(account,))
        client = await sandbox.client(sandbox.login(account))
        sandbox.server.faults.script.add(
            ScriptedFault(FaultKind.SLOW, method="messages.sendMessage", seconds=0.3)
        )
        running = start(client, text(account, channel, "once", 5))
        with pytest.raises(errors.RandomIdDuplicateError):
            await raw(client, text(account, channel, "once", 5))
        first = await running
        again = await raw(client, text(account, channel, "once", 5))
        assert message_ids(again.updates) == message_ids(first.updates)
        assert len(channel.box.messages) == 1

    run_scenario(scenario)


def test_an_older_server_refuses_a_repeat_for_ever() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(posters=(account,))
        client = await sandbox.client(sandbox.login(account))
        await raw(client, text(account, channel, "once", 5))
        with pytest.raises(errors.RandomIdDuplicateError):
            await raw(client, text(account, channel, "once", 5))

    run_scenario(scenario, rules=Strictness(repeats_return_original=False))


@pytest.mark.parametrize("kind", [FaultKind.NO_ANSWER, FaultKind.FAIL_AFTER])
def test_the_id_of_a_send_without_an_answer_comes_with_the_channel_s_difference(
    kind: FaultKind,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(posters=(account,))
        client = await sandbox.client(sandbox.login(account))
        sandbox.server.faults.script.add(
            ScriptedFault(kind, 500, "MSG_TEMP_UNAVAILABLE", method="messages.sendMessage")
        )
        lost = start(client, text(account, channel, "sent", 5))
        difference = await raw(client, channel_difference(account, channel, 1))
        assert message_ids(difference.other_updates) == [(5, 1)]
        assert [it.message for it in difference.new_messages] == ["sent"]
        assert lost.done() == (kind is FaultKind.FAIL_AFTER)
        if lost.done():
            assert isinstance(lost.exception(), errors.ServerError)

    run_scenario(scenario)


def test_other_members_do_not_learn_the_random_id() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        account, friend = world.add_account(), world.add_account()
        channel = sandbox.channel(friend, posters=(account,))
        client = await sandbox.client(sandbox.login(account))
        await raw(client, text(account, channel, "hi", 5))
        his = await sandbox.client(sandbox.login(friend))
        difference = await raw(his, channel_difference(friend, channel, 1))
        assert message_ids(difference.other_updates) == []

    run_scenario(scenario)


def test_the_id_of_a_private_send_comes_with_the_account_s_difference() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        account, friend = world.add_account(), world.add_account()
        client = await sandbox.client(sandbox.login(account))
        sandbox.server.faults.script.add(ScriptedFault(FaultKind.NO_ANSWER))
        start(client, text(account, friend, "hi", 77))
        difference = await raw(
            client, functions.updates.GetDifferenceRequest(1, datetime.now(UTC), 0)
        )
        assert message_ids(difference.other_updates) == [(77, 1)]

    run_scenario(scenario)
