"""What is derived from Telethon's classes has all that their methods use, in this version."""

from __future__ import annotations

import asyncio
import gzip
import io
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from support.mtproto_line import KEY, FakeConnection
from support.sandbox import SandboxHarness, run_scenario
from telethon import TelegramClient, errors
from telethon.extensions.messagepacker import MessagePacker
from telethon.network import MTProtoSender
from telethon.network.mtprotostate import MTProtoState
from telethon.sessions import MemorySession, StringSession
from telethon.tl import functions

from afx.devices import Device
from afx.telegram.client import AccountClient, Pings
from afx.telegram.lazy import LOGGERS
from afx.telegram.mtproto import Sender
from afx.telegram.mtproto_state import State
from afx.telegram.session import StoredSession
from afx.telegram.transport import guarded_connection


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (lambda: TelegramClient(MemorySession(), 1, "hash"), AccountClient),
        (lambda: MTProtoSender(KEY, loggers=LOGGERS), Sender),
        (lambda: MTProtoState(KEY, loggers=LOGGERS), None),
    ],
    ids=["client", "sender", "state"],
)
def test_an_object_has_all_attributes_that_telethon_would_give_it(
    theirs: Callable[[], Any], ours: type | None
) -> None:
    async def names() -> list[str]:
        login = StringSession()
        login.set_dc(2, "127.0.0.1", 1)
        login.auth_key = KEY
        client = AccountClient(
            StoredSession(login.save(), {}, {}),
            api_id=1,
            api_hash="hash",
            connection=FakeConnection,
            on_updates=print,
            device=Device("afx"),
            pings=Pings(),
        )
        parts = {AccountClient: client, Sender: client._sender, None: client._sender._state}
        return [it for it in vars(theirs()) if not hasattr(parts[ours], it)]

    assert asyncio.run(names()) == []


def test_a_packer_has_what_telethons_packs_with() -> None:
    async def names() -> set[str]:
        return set(vars(MessagePacker(None, LOGGERS)))

    assert asyncio.run(names()) == {"_state", "_deque", "_ready", "_log"}


def test_each_kind_of_message_that_telethon_handles_is_handled() -> None:
    """Containers and zipped ones are unpacked before; keys are never destroyed."""

    async def missing() -> set[str]:
        theirs = MTProtoSender(KEY, loggers=LOGGERS)._handlers
        ours = Sender(KEY, print)._handlers
        return {theirs[it].__name__ for it in theirs.keys() - ours.keys()}

    assert asyncio.run(missing()) == {
        "_handle_container",
        "_handle_gzip_packed",
        "_handle_destroy_auth_key",
    }


def test_a_client_without_a_key_agrees_upon_one_and_makes_requests_with_it() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        stored = StoredSession(sandbox.login(sandbox.server.world.add_account()), {}, {})
        client = AccountClient(
            stored,
            api_id=1,
            api_hash="sandbox",
            connection=guarded_connection(lambda: True, lambda _host, _port: True, 2.0),
            on_updates=print,
            device=Device("afx"),
            pings=Pings(),
        )
        sandbox.own(client)
        stored.auth_key = client._sender.auth_key.key = None
        await client.connect()
        assert client.is_connected()
        assert stored.auth_key.key
        with pytest.raises(errors.AuthKeyUnregisteredError):
            await client(functions.updates.GetStateRequest())
        assert asyncio.all_tasks() == {asyncio.current_task()}, "an idle client has no task"

    run_scenario(scenario)


@pytest.mark.parametrize("size", [0, 4, 60, 496, 500, 504, 512, 516, 4096])
@pytest.mark.parametrize("after", [None, 5 << 32])
@pytest.mark.parametrize("is_content", [True, False])
def test_a_message_is_written_as_telethon_writes_it(
    monkeypatch: pytest.MonkeyPatch, size: int, after: int | None, is_content: bool
) -> None:
    monkeypatch.setattr(gzip, "compress", partial(gzip.compress, mtime=0))
    monkeypatch.setattr(MTProtoState, "_get_new_msg_id", lambda _: 7 << 32)
    data = bytes(it % 7 for it in range(size))
    written = []
    for kind in (MTProtoState.write_data_as_message, State.write_data_as_message):
        state, buffer = State(KEY), io.BytesIO()
        for _ in range(2):
            kind(state, buffer, data, is_content, after_id=after)
        written.append(buffer.getvalue())
    assert written[0] == written[1]
