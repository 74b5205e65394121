"""Status, typing and read marks are accepted, as every client sends them."""

from __future__ import annotations

from typing import Any

import pytest
from support.sandbox import SandboxHarness, run_scenario
from telethon.tl import functions, types


@pytest.mark.parametrize(
    "request_for",
    [
        lambda peer: functions.account.UpdateStatusRequest(offline=False),
        lambda peer: functions.messages.SetTypingRequest(peer, types.SendMessageTypingAction()),
        lambda peer: functions.channels.ReadHistoryRequest(peer, max_id=1),
    ],
    ids=["status", "typing", "read mark in a channel"],
)
def test_a_client_s_notices_are_answered_with_true(request_for: Any) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(posters=(account,))
        client = await sandbox.client(sandbox.login(account))
        peer = types.InputPeerChannel(channel.id, channel.hash_for(account.id))
        assert await client(request_for(peer)) is True

    run_scenario(scenario)


def test_a_read_mark_in_a_private_chat_moves_no_pts() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        client = await sandbox.client(sandbox.login(account))
        answer = await client(functions.messages.ReadHistoryRequest(types.InputPeerSelf(), 1))
        assert (answer.pts, answer.pts_count) == (account.box.pts, 0)

    run_scenario(scenario)
