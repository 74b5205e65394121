"""What a method works on, and the table of methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from telethon.tl import types

from afx.sandbox.errors import RpcError
from afx.sandbox.mischief import Dice
from afx.sandbox.strictness import Strictness
from afx.sandbox.telegram import views
from afx.sandbox.telegram.peers import Account, Channel, Group, Peer
from afx.sandbox.telegram.pushes import Client, Pushes
from afx.sandbox.telegram.sign_ins import SignIns
from afx.sandbox.telegram.world import World

Handler = Callable[["Call", Any], Any]
HANDLERS: dict[type, Handler] = {}
WITHOUT_LOGIN: set[type] = set()
NOT_FOR_BOTS: set[type] = set()
NOT_WHEN_FROZEN: set[type] = set()


class Login(Protocol):
    """An authorization key, as far as methods need to know it."""

    key_id: int
    account_id: int
    """The account that is signed in with it, or 0."""
    claims: int
    """The account whose password is still to be given, or 0."""
    layer: int
    """The layer of its last initConnection, or 0."""
    made_at: float
    used_at: float
    """When a request last came with it, in Unix seconds."""


class Trouble(Protocol):
    """Says which sends must wait, and which differences lag."""

    dice: Dice

    def flood_error(self, account: int, chat: int) -> str:
        """Return the error that an account's send meets, or ""."""


class Presence(Protocol):
    """Learns what methods change about connections."""

    def log_out(self, key_id: int) -> None:
        """Push nothing more to the connections of a key."""

    def note_caught_up(self, account: int) -> None:
        """Record that an account has received all that it missed."""


@dataclass(slots=True, frozen=True)
class Telegram:
    """What methods read and change; the same for all requests."""

    world: World
    pushes: Pushes
    sign_ins: SignIns
    trouble: Trouble
    presence: Presence
    strictness: Strictness
    addresses: Callable[[], dict[int, tuple[str, int]]]
    """Returns the host and port of each data centre, by its number."""
    logins: Callable[[int], Sequence[Login]]
    """Returns the logins of an account."""


@dataclass(slots=True, frozen=True)
class Call:
    """One request: the connection and the key that it came by, and its account."""

    telegram: Telegram
    client: Client
    key: Login
    account: Account | None

    @property
    def world(self) -> World:
        """The world that the request reads or changes."""
        return self.telegram.world

    @property
    def pushes(self) -> Pushes:
        """Where the request's events are pushed."""
        return self.telegram.pushes

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
            if not self._is_named(tl_peer, found):
                raise RpcError(400, "CHANNEL_INVALID")
            if self.me.is_bot and self.me.id not in found.members:
                raise RpcError(400, "CHANNEL_INVALID")
            if self.me.id in found.banned:
                raise RpcError(406, "CHANNEL_PRIVATE")
            return found
        if isinstance(found, Group):
            if self.me.id not in found.members or found.migrated_to:
                raise RpcError(400, "CHAT_ID_INVALID")
            return found
        if found is None or (found is not self.me and not self._is_named(tl_peer, found)):
            raise RpcError(400, "PEER_ID_INVALID")
        return found

    def _is_named(self, tl_peer: Any, found: Account | Channel) -> bool:
        """Return whether a hash is the account's own, or a message names the peer (api/min)."""
        if self.me.is_bot and not getattr(tl_peer, "access_hash", None):
            # Bots name what they are a part of by a hash of 0.
            return True
        if hasattr(tl_peer, "msg_id"):
            return self._is_named_in_message(tl_peer, found)
        own = self.me.id if self.telegram.strictness.hashes_per_account else 0
        return bool(tl_peer.access_hash in (found.hash_for(self.me.id), found.hash_for(own)))

    def _is_named_in_message(self, tl_peer: Any, found: Account | Channel) -> bool:
        chat = self.peer(tl_peer.peer)
        box = chat.box if isinstance(chat, Channel) else self.me.box
        message = box.messages.get(tl_peer.msg_id)
        number = found.id if isinstance(found, Account) else found.marked
        return message is not None and number in message.names

    def readable(self, channel: Channel) -> None:
        """Refuse a channel that the account may not read."""
        if not channel.is_readable(self.me.id):
            raise RpcError(406, "CHANNEL_PRIVATE")

    def channel(self, tl_channel: Any) -> Channel:
        """Return the channel that an input channel names."""
        if isinstance(tl_channel, types.InputChannelEmpty):
            raise RpcError(400, "CHANNEL_INVALID")
        found = self.peer(tl_channel)
        if not isinstance(found, Channel):
            raise RpcError(400, "CHANNEL_INVALID")
        return found


def method(
    *requests: type, login: bool = True, bots: bool = True, frozen: bool = True
) -> Callable[[Handler], Handler]:
    """Register a function as the answer to some requests.

    Not for ``bots``: the page of the method says "Only users can use this method". Not for a
    ``frozen`` account: others would see what it does (api/auth, "Frozen accounts").
    """

    def register(handler: Handler) -> Handler:
        for request in requests:
            HANDLERS[request] = handler
            if not login:
                WITHOUT_LOGIN.add(request)
            if not frozen:
                NOT_WHEN_FROZEN.add(request)
            if not bots:
                NOT_FOR_BOTS.add(request)
        return handler

    return register
