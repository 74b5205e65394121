"""The sandbox's server: its keys, connections, requests and pushed updates."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from telethon.tl import types

from afx.sandbox.judge.faults import Faults
from afx.sandbox.judge.ledger import Ledger
from afx.sandbox.mtproto.connection import Connection, RpcError
from afx.sandbox.mtproto.crypto import AuthKey, ServerKey
from afx.sandbox.telegram import views
from afx.sandbox.telegram.methods import HANDLERS, WITHOUT_LOGIN, Call
from afx.sandbox.telegram.qr import QrLogins
from afx.sandbox.telegram.srp import Challenge
from afx.sandbox.telegram.world import Account, Channel, Event, Message, World

_log = logging.getLogger(__name__)


@dataclass(slots=True, frozen=True)
class Overlap:
    """A key that was used on two connections at once, and so is revoked."""

    account: int
    first_opened_at: float
    second_opened_at: float
    spoke_at: float


class SandboxServer:
    """Accepts connections and holds what they share."""

    def __init__(self, *, log_limit: int = 100_000) -> None:
        self.world = World(log_limit=log_limit)
        self.rsa = ServerKey()
        self.keys: dict[int, AuthKey] = {}
        self.codes: dict[str, tuple[str, str]] = {}
        """phone → (phone code hash, code) of sign-ins under way."""
        self.challenges: dict[int, Challenge] = {}
        """Questions for a password that nobody has answered yet."""
        self.qr = QrLogins()
        self.faults = Faults()
        self.ledger = Ledger(self.world)
        self.overlaps: list[Overlap] = []
        self.connections: set[Connection] = set()
        self.requests = 0
        self._by_key: dict[int, list[Connection]] = {}
        self._live: dict[int, set[Connection]] = {}
        self._caught_up: dict[int, float] = {}
        self._server: asyncio.Server | None = None
        self.loop: asyncio.AbstractEventLoop
        self.host, self.port = "127.0.0.1", 0

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; ``port`` 0 takes a free one, which is then in ``port``."""
        self.loop = asyncio.get_running_loop()
        self._server = await self.loop.create_server(
            lambda: Connection(self), host, port, backlog=4096
        )
        self.host, self.port = self._server.sockets[0].getsockname()[:2]

    async def stop(self) -> None:
        """Stop listening and hang up on everybody."""
        if self._server:
            self._server.close()
        for connection in list(self.connections):
            connection.abort()

    # --- keys and connections ----------------------------------------------

    def bind(self, connection: Connection) -> None:
        """Note that a connection now speaks for its key.

        A key that is in use on an open connection changes over to the new one.
        Whether the old one still lives shows when it speaks again: it is asked
        to (``Connection.probe``), and then the key is revoked.
        """
        assert connection.key is not None
        siblings = self._by_key.setdefault(connection.key.key_id, [])
        for older in siblings:
            if older.superseded_at is None:
                older.superseded_at = time.monotonic()
                older.probe()
        siblings.append(connection)

    def spoke_twice(self, connection: Connection) -> None:
        """Revoke the key of a superseded connection that is still in use."""
        key = connection.key
        assert key is not None
        siblings = self._by_key.get(key.key_id, [])
        newer = [it for it in siblings if it.opened_at > connection.opened_at and not it.closed]
        if not newer or key.revoked:
            return
        key.revoked = True
        self.overlaps.append(
            Overlap(key.account_id, connection.opened_at, newer[-1].opened_at, time.monotonic())
        )

    def subscribe(self, connection: Connection) -> None:
        """Push updates to a connection from now on, if it is signed in."""
        assert connection.key is not None
        if connection.key.account_id:
            connection.subscribed = True
            self._live.setdefault(connection.key.account_id, set()).add(connection)

    def forget(self, connection: Connection) -> None:
        """Drop a closed connection."""
        if connection.key is None:
            return
        siblings = self._by_key.get(connection.key.key_id, [])
        if connection in siblings:
            siblings.remove(connection)
            if not siblings:
                del self._by_key[connection.key.key_id]
        live = self._live.get(connection.key.account_id)
        if live:
            live.discard(connection)
            if not live:
                del self._live[connection.key.account_id]
                self._caught_up.pop(connection.key.account_id, None)

    def live(self, account: int) -> Iterable[Connection]:
        """Return the connections to which an account's updates are pushed."""
        return self._live.get(account, ())

    def drop(self, account: int = 0) -> int:
        """Cut an account's connections, or all; returns how many."""
        chosen = [
            it
            for it in self.connections
            if not account or (it.key and it.key.account_id == account)
        ]
        for connection in chosen:
            connection.abort()
        return len(chosen)

    def status(self, account: int) -> dict[str, Any]:
        """Return whether an account is connected, and since when it is up to date."""
        live = self._live.get(account, ())
        return {
            "connected": bool(live),
            "opened_at": max((it.opened_at for it in live), default=None),
            "caught_up_at": self._caught_up.get(account),
        }

    def overlap_rows(self) -> list[dict[str, Any]]:
        """Return the overlaps as plain values."""
        return [asdict(it) for it in self.overlaps]

    # --- requests ------------------------------------------------------------

    def call(self, connection: Connection, request: Any) -> Any:
        """Answer one request of a client; raises RpcError to refuse it."""
        self.requests += 1
        handler = HANDLERS.get(type(request))
        if handler is None:
            raise RpcError(400, "INPUT_METHOD_INVALID")
        key = connection.key
        assert key is not None
        account = self.world.accounts.get(key.account_id)
        if account is None and type(request) not in WITHOUT_LOGIN:
            raise RpcError(401, "AUTH_KEY_UNREGISTERED")
        try:
            return handler(Call(self, connection, key, account), request)
        except RpcError:
            raise
        except Exception as error:  # a fault of ours must not look like a dead network
            _log.exception("method %s failed", type(request).__name__)
            raise RpcError(500, "INTERNAL_SERVER_ERROR") from error

    def note_caught_up(self, account: int) -> None:
        """Remember that an account has been told all that it missed."""
        self._caught_up.setdefault(account, time.monotonic())

    # --- pushes --------------------------------------------------------------

    def tell_channel(
        self,
        channel: Channel,
        event: Event,
        message: Message | None,
        skip: Connection | None = None,
    ) -> None:
        """Push a channel's event to its members' connections, all but one."""
        sender = message.sender if message else 0
        body: bytes | None = None
        for member in channel.members:
            targets = self._live.get(member)
            if not targets:
                self.world.accounts[member].missed_channels.add(channel.id)
                continue
            for connection in tuple(targets):
                if connection is skip:
                    continue
                if member == sender:
                    connection.push(self._channel_body(channel, event, message, member))
                    continue
                if body is None:
                    body = self._channel_body(channel, event, message, 0)
                connection.push(body)

    def tell_account(
        self,
        account: Account,
        event: Event,
        message: Message | None,
        skip: Connection | None = None,
    ) -> None:
        """Push an event of an account's own box to its connections."""
        targets = [it for it in self._live.get(account.id, ()) if it is not skip]
        if not targets:
            return
        if message and event.kind == "new" and message.forwarded is None:
            body = bytes(_short(event, message))
        else:
            update = views.update(event, account.box, account.id)
            if update is None:
                return
            users, chats = views.mentioned(self.world, [message] if message else [], account.id)
            body = bytes(views.updates([update], users, chats, int(time.time())))
        for connection in targets:
            connection.push(body)

    def _channel_body(
        self, channel: Channel, event: Event, message: Message | None, viewer: int
    ) -> bytes:
        update = views.update(event, channel.box, viewer, channel)
        users, chats = views.mentioned(self.world, [message] if message else [], viewer)
        return bytes(views.updates([update], users, chats, int(time.time())))


def _short(event: Event, message: Message) -> Any:
    common = {
        "date": message.date,
        "out": message.out,
        "entities": message.entities,
        "pts": event.pts,
        "pts_count": event.count,
        "id": message.id,
        "message": message.text,
    }
    if message.chat < 0:
        return types.UpdateShortChatMessage(from_id=message.sender, chat_id=-message.chat, **common)
    return types.UpdateShortMessage(user_id=message.chat, **common)
