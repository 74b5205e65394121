"""What each method is given, and the table of methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from telethon.tl import types

from afx.sandbox.mtproto.connection import RpcError
from afx.sandbox.telegram import views
from afx.sandbox.telegram.world import Account, Channel, Group, Peer, World

if TYPE_CHECKING:
    from afx.sandbox.mtproto.connection import Connection
    from afx.sandbox.mtproto.crypto import AuthKey
    from afx.sandbox.server import SandboxServer

Handler = Callable[["Call", Any], Any]
HANDLERS: dict[type, Handler] = {}
WITHOUT_LOGIN: set[type] = set()


@dataclass(slots=True, frozen=True)
class Call:
    """One request: who asks, over which connection."""

    server: SandboxServer
    connection: Connection
    key: AuthKey
    account: Account | None

    @property
    def world(self) -> World:
        """The world that the request reads or changes."""
        return self.server.world

    @property
    def me(self) -> Account:
        """The asking account; only for methods that need a login."""
        assert self.account is not None
        return self.account

    def peer(self, tl_peer: Any) -> Peer:
        """Return what an input peer names, its access hash checked.

        Raises RpcError as Telegram does for a peer that is not there.
        """
        chat = views.marked(tl_peer, self.me.id)
        found = self.world.find(chat)
        if isinstance(found, Channel):
            if tl_peer.access_hash != found.hash:
                raise RpcError(400, "CHANNEL_INVALID")
            return found
        if isinstance(found, Group):
            if self.me.id not in found.members:
                raise RpcError(400, "CHAT_ID_INVALID")
            return found
        if found is None or (found is not self.me and tl_peer.access_hash != found.hash):
            raise RpcError(400, "PEER_ID_INVALID")
        return found

    def channel(self, tl_channel: Any) -> Channel:
        """Return the channel that an input channel names."""
        if isinstance(tl_channel, types.InputChannelEmpty):
            raise RpcError(400, "CHANNEL_INVALID")
        found = self.peer(tl_channel)
        if not isinstance(found, Channel):
            raise RpcError(400, "CHANNEL_INVALID")
        return found


def method(*requests: type, login: bool = True) -> Callable[[Handler], Handler]:
    """Register a function as the answer to some requests."""

    def register(handler: Handler) -> Handler:
        for request in requests:
            HANDLERS[request] = handler
            if not login:
                WITHOUT_LOGIN.add(request)
        return handler

    return register
