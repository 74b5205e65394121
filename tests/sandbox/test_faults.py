"""Errors on demand, by method, chat, account and count (core.telegram.org/api/errors)."""

from __future__ import annotations

import pytest
from support.packets import wire
from support.raw import channel_difference, raw, text
from support.sandbox import SandboxHarness, run_scenario
from telethon import errors
from telethon.tl import functions

from afx.sandbox.judge.faults import Budget
from afx.sandbox.scripted import FaultKind, FaultScript, ScriptedFault
from afx.sandbox.strictness import Strictness


@pytest.mark.parametrize(
    ("code", "name", "expected"),
    [
        (303, "USER_MIGRATE_4", errors.UserMigrateError),
        (400, "MESSAGE_ID_INVALID", errors.MessageIdInvalidError),
        (401, "SESSION_REVOKED", errors.SessionRevokedError),
        (403, "CHAT_WRITE_FORBIDDEN", errors.ChatWriteForbiddenError),
        (406, "TOPIC_CLOSED", errors.AuthKeyError),
        (420, "FLOOD_WAIT_7", errors.FloodWaitError),
        (420, "FLOOD_PREMIUM_WAIT_7", errors.FloodPremiumWaitError),
        (420, "SLOWMODE_WAIT_7", errors.SlowModeWaitError),
        (500, "PERSISTENT_TIMESTAMP_OUTDATED", errors.PersistentTimestampOutdatedError),
        (-503, "Timeout", errors.TimedOutError),
    ],
)
def test_a_request_is_refused_with_the_error_that_was_asked_for(
    code: int, name: str, expected: type[Exception]
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(account)
        client = await sandbox.client(sandbox.login(account))
        fault = ScriptedFault(FaultKind.REFUSE, code, name, chat=channel.marked)
        sandbox.server.faults.script.add(fault)
        with pytest.raises(expected):
            await raw(client, channel_difference(account, channel, 1))
        assert await raw(client, channel_difference(account, channel, 1))

    run_scenario(scenario)


@pytest.mark.parametrize("code", [-404, -429])
def test_a_packet_is_answered_with_an_error_of_the_transport(code: int) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        line = await wire(sandbox)
        sandbox.server.faults.script.add(ScriptedFault(FaultKind.TRANSPORT, code))
        line.send(bytes(functions.updates.GetStateRequest()))
        assert await line.transport_error() == code
        await line.closed()

    run_scenario(scenario)


def test_a_fault_is_chosen_by_method_chat_account_and_count() -> None:
    script = FaultScript()
    script.add(ScriptedFault(method="a.b", chat=-5, account=7, skip=1, count=2))
    others = [("a.c", -5, 7), ("a.b", -6, 7), ("a.b", -5, 8)]
    assert not any(script.take(*it) for it in others)
    assert [bool(script.take("a.b", -5, 7)) for _ in range(4)] == [False, True, True, False]
    assert not script
    script.add(ScriptedFault(count=0))
    assert all(script.take("any", 1, 1) for _ in range(10))
    script.clear()
    assert script.rows() == []


def test_a_budget_of_sends_is_followed_by_a_flood_wait() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(posters=(account,))
        client = await sandbox.client(sandbox.login(account))
        sandbox.server.faults.budgets.append(Budget(account.id, 0, sends=3, seconds=60))
        for number in range(3):
            await raw(client, text(account, channel, "hi", number))
        with pytest.raises(errors.FloodWaitError) as caught:
            await raw(client, text(account, channel, "hi", 3))
        assert 0 < caught.value.seconds <= 60

    run_scenario(scenario)


def test_a_send_before_the_end_of_a_flood_wait_makes_it_longer() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(posters=(account,))
        client = await sandbox.client(sandbox.login(account))
        sandbox.server.faults.add_flood(account.id, channel.marked, 20)
        seconds = []
        for number in range(3):
            with pytest.raises(errors.FloodWaitError) as caught:
                await raw(client, text(account, channel, "hi", number))
            seconds.append(caught.value.seconds)
        assert seconds == [20, 30, 40]

    run_scenario(scenario, rules=Strictness(flood_penalty_seconds=10))


def test_slow_mode_concerns_members_and_not_the_creator() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        creator, member = world.add_account(), world.add_account()
        group = world.add_channel("slow", creator=creator.id, megagroup=True, members=[member.id])
        group.slow_mode_seconds = 30
        hers = await sandbox.client(sandbox.login(creator))
        his = await sandbox.client(sandbox.login(member))
        for number in range(2):
            await raw(hers, text(creator, group, "hi", number))
        await raw(his, text(member, group, "hi", 1))
        with pytest.raises(errors.SlowModeWaitError) as caught:
            await raw(his, text(member, group, "hi", 2))
        assert caught.value.seconds == 30

    run_scenario(scenario)
