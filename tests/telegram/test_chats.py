"""Chats that tasks name by their ids, among the dialogs of the account."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from support.sandbox import SandboxHarness, run_scenario
from telethon.tl import functions, types

from afx.tasks.kinds import chat_join
from afx.tasks.kinds.base import TaskFailedError
from afx.tasks.kinds.chat_join import JoinArguments
from afx.telegram.chats import ChatNotFoundError, Dialogs, find_chat

AT = datetime(2026, 1, 1, tzinfo=UTC)
PER_PAGE = 10


class Account:
    """An account with 35 channels, which are listed in pages."""

    def __init__(self) -> None:
        self.listed = 0

    async def call(self, request: Any) -> Any:
        assert isinstance(request, functions.messages.GetDialogsRequest)
        self.listed += 1
        chats = [channel(it) for it in range(1 + request.offset_id, 36)][:PER_PAGE]
        messages = [
            types.Message(it.id, types.PeerChannel(it.id), AT, "", out=False) for it in chats
        ]
        return types.messages.DialogsSlice(35, [], messages, chats, [])


def channel(number: int) -> types.Channel:
    photo = types.ChatPhotoEmpty()
    return types.Channel(number, f"chat {number}", photo, AT, access_hash=number + 1)


def marked(number: int) -> str:
    return str(-1_000_000_000_000 - number)


def test_dialogs_are_listed_once_for_all_chats_of_a_task() -> None:
    account = Account()
    wanted = [marked(it) for it in (33, 2, 35, 99, 7, 98)]
    dialogs = Dialogs([*wanted, "@a_name"])
    found: list[int] = []
    for chat in wanted:
        try:
            found.append(asyncio.run(find_chat(account.call, chat, dialogs)).peer.channel_id)
        except ChatNotFoundError:
            found.append(0)
    assert found == [33, 2, 35, 0, 7, 0]
    # Four pages up to the first; then all of them, for the first that is not there.
    assert account.listed == 4 + 5


def test_a_chat_that_is_among_the_first_costs_one_page() -> None:
    account = Account()
    assert asyncio.run(find_chat(account.call, marked(3))).entity.title == "chat 3"
    assert account.listed == 1
    with pytest.raises(ChatNotFoundError):
        asyncio.run(find_chat(account.call, marked(99)))


def test_a_task_joins_by_an_invite_link_once_and_finds_the_chat_by_it() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        account, secret = world.add_account(), world.add_channel("secret")
        link = f"https://t.me/+{world.invite(secret.id).hash}"
        arguments = JoinArguments(chat=link)
        client = await sandbox.client(sandbox.login(account))
        task: Any = SimpleNamespace(call=client)
        with pytest.raises(ChatNotFoundError, match="no member"):
            await find_chat(client, arguments.chat)
        for _ in range(2):
            found = await chat_join.run(task, arguments)
            assert (found.chat, found.title) == (secret.marked, "secret")
        assert account.id in secret.members
        assert (await find_chat(client, arguments.chat)).marked == secret.marked

    run_scenario(scenario)


def test_a_task_tells_that_an_admin_has_to_let_the_account_in() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        link = f"+{world.invite(world.add_channel('secret').id, asks=True).hash}"
        task: Any = SimpleNamespace(call=await sandbox.client(sandbox.login(world.add_account())))
        with pytest.raises(TaskFailedError, match="an admin"):
            await chat_join.run(task, JoinArguments(chat=link))
        with pytest.raises(ChatNotFoundError, match="leads nowhere"):
            await find_chat(task.call, "+unknown_hash")

    run_scenario(scenario)
