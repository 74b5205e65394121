"""The client of an account over a connection in memory."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest
from support.mtproto_line import KEY, FakeConnection
from telethon import events
from telethon.errors import AuthKeyNotFound, UserMigrateError
from telethon.sessions import StringSession

from afx.devices import Device
from afx.errors import AfxError
from afx.telegram.client import AccountClient, Pings
from afx.telegram.session import StoredSession


class Refused(FakeConnection):
    """A connection that ends before anything is written to it."""

    opened: list[FakeConnection]

    def __init__(self, *_address: Any) -> None:
        super().__init__()
        self.opened.append(self)

    def deliver_to(self, receiver: Any) -> None:
        super().deliver_to(receiver)
        asyncio.get_running_loop().call_soon(receiver.receive, struct.pack("<i", -404))


def a_client(connection: type = FakeConnection) -> AccountClient:
    login = StringSession()
    login.set_dc(2, "127.0.0.1", 1)
    login.auth_key = KEY
    return AccountClient(
        StoredSession(login.save(), {}, {}),
        api_id=1,
        api_hash="hash",
        connection=connection,
        on_updates=print,
        device=Device("afx"),
        pings=Pings(),
    )


def test_a_connection_that_ends_before_the_first_request_ends_the_connect() -> None:
    opened: list[FakeConnection] = []

    async def scenario() -> None:
        client = a_client(type("It", (Refused,), {"opened": opened}))
        async with asyncio.timeout(60):
            with pytest.raises(AuthKeyNotFound):
                await client.connect()
            await client.disconnect()

    asyncio.run(scenario())
    assert [it.is_open for it in opened] == [False]


def test_a_client_that_cannot_follow_its_account_keeps_its_key() -> None:
    async def scenario() -> None:
        client = a_client()
        with pytest.raises(UserMigrateError) as caught:
            await client._switch_dc(4)
        assert caught.value.new_dc == 4
        assert client.session.auth_key.key == KEY.key

    asyncio.run(scenario())


def test_a_client_that_has_logged_out_says_so_when_it_is_to_connect() -> None:
    async def scenario() -> None:
        client = a_client()
        client.session = None
        with pytest.raises(AfxError, match="logged out"):
            await client.connect()

    asyncio.run(scenario())


def test_handlers_of_events_can_be_added_and_each_client_has_its_own() -> None:
    async def scenario() -> None:
        client = a_client()
        client.add_event_handler(print, events.Raw())
        assert len(client.list_event_handlers()) == 1
        assert not a_client().list_event_handlers()
        client._event_handler_tasks.add(asyncio.ensure_future(asyncio.sleep(60)))
        await client.disconnect()
        assert not client._event_handler_tasks

    asyncio.run(scenario())


def test_a_client_acknowledges_at_each_beat_and_pings_at_every_other() -> None:
    async def scenario() -> None:
        client = a_client()
        did: list[str] = []
        client._sender.acknowledge = lambda: did.append("acknowledge")
        client.ping = lambda: did.append("ping")  # type: ignore[method-assign]
        for _ in range(4):
            client.beat()
        assert did == ["acknowledge", "ping"] * 2

    asyncio.run(scenario())
