"""Requests that wait for each other (core.telegram.org/api/invoking)."""

from __future__ import annotations

from typing import Any

import pytest
from support.packets import wire
from support.raw import outcomes, start, text
from support.sandbox import SandboxHarness, run_scenario, until
from telethon import errors
from telethon.tl import functions

from afx.sandbox.scripted import FaultKind, ScriptedFault
from afx.sandbox.telegram.peers import Channel

SEND = "messages.sendMessage"


def texts(channel: Channel) -> list[str]:
    return [it.text for it in channel.box.messages.values()]


async def send_three(sandbox: SandboxHarness, channel: Channel, account: Any) -> list[Any]:
    """Send three texts in one container, each after the one before."""
    client = await sandbox.client(sandbox.login(account))
    requests = [text(account, channel, it, number) for number, it in enumerate("abc")]
    return await outcomes(start(client, *requests, ordered=True))


def test_a_request_waits_for_one_that_is_running() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(posters=(account,))
        sandbox.server.faults.script.add(ScriptedFault(FaultKind.SLOW, method=SEND, seconds=0.1))
        await send_three(sandbox, channel, account)
        assert texts(channel) == ["a", "b", "c"]

    run_scenario(scenario)


def test_without_that_requests_overtake_one_that_is_running() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(posters=(account,))
        client = await sandbox.client(sandbox.login(account))
        sandbox.server.faults.script.add(ScriptedFault(FaultKind.SLOW, method=SEND, seconds=0.1))
        await outcomes(start(client, *(text(account, channel, it, ord(it)) for it in "abc")))
        assert texts(channel) == ["b", "c", "a"]

    run_scenario(scenario)


def test_what_follows_a_failed_request_fails() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(posters=(account,))
        fault = ScriptedFault(FaultKind.REFUSE, 420, "FLOOD_WAIT_9", method=SEND, skip=1)
        sandbox.server.faults.script.add(fault)
        found = await send_three(sandbox, channel, account)
        assert isinstance(found[1], errors.FloodWaitError)
        assert isinstance(found[2], errors.MsgWaitFailedError)
        assert texts(channel) == ["a"]

    run_scenario(scenario)


def test_a_request_does_not_wait_for_ever() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(posters=(account,))
        sandbox.server.faults.script.add(ScriptedFault(FaultKind.SLOW, method=SEND, seconds=0.8))
        found = await send_three(sandbox, channel, account)
        assert found[1].message == "MSG_WAIT_TIMEOUT"
        assert isinstance(found[2], errors.MsgWaitFailedError)
        assert texts(channel) == ["a"]

    run_scenario(scenario)


@pytest.mark.parametrize("fails", [False, True])
def test_a_request_may_wait_for_several(fails: bool) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(posters=(account,))
        line = await wire(sandbox, account)
        kind = FaultKind.REFUSE if fails else FaultKind.SLOW
        sandbox.server.faults.script.add(
            ScriptedFault(kind, 500, "TIMEOUT", method=SEND, seconds=0.1, skip=1)
        )
        first = [line.send(bytes(text(account, channel, it, ord(it)))) for it in "ab"]
        last = functions.InvokeAfterMsgsRequest(first, text(account, channel, "c", 3))
        line.send(bytes(last))
        done = ["a"] if fails else ["a", "b", "c"]
        await until(lambda: texts(channel) == done)

    run_scenario(scenario)
