"""What clients ask for when they start."""

from __future__ import annotations

from typing import Any

import pytest
from support.raw import input_channel, raw
from support.sandbox import SandboxHarness, run_scenario
from telethon.tl import functions, types

REQUESTS: dict[str, Any] = {
    "own profile": lambda me, channel, group: functions.users.GetFullUserRequest(
        types.InputUserSelf()
    ),
    "channel": lambda me, channel, group: functions.channels.GetFullChannelRequest(
        input_channel(me, channel)
    ),
    "group": lambda me, channel, group: functions.messages.GetFullChatRequest(group.id),
    "contacts": lambda me, channel, group: functions.contacts.GetContactsRequest(0),
    "settings": lambda me, channel, group: functions.help.GetAppConfigRequest(0),
    "data centre": lambda me, channel, group: functions.help.GetNearestDcRequest(),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_each_of_these_is_answered(name: str) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(account)
        group = sandbox.server.world.add_group("group", account.id)
        client = await sandbox.client(sandbox.login(account))
        assert await raw(client, REQUESTS[name](account, channel, group))

    run_scenario(scenario)


def test_messages_can_be_searched() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(account)
        for said in ("one apple", "a pear", "two Apples"):
            sandbox.server.world.post(channel, 0, said)
        client = await sandbox.client(sandbox.login(account))
        await client.get_dialogs()
        found = await client.get_messages(channel.marked, search="apple", limit=10)
        assert [it.id for it in found] == [3, 1]

    run_scenario(scenario)
