"""Reads messages of source chats for lanes; a wait that Telegram asks for is the account's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from telethon import errors
from telethon.tl import functions, types

from afx.node.waits import Waits
from afx.telegram.budgets import method_name
from afx.telegram.client import AccountClient
from afx.telegram.differences import fetch_messages
from afx.telegram.errors import error_name
from afx.telegram.history import page_beyond
from afx.telegram.peers import Peers

_UNKNOWN_SECONDS = 60.0
"""A wait whose length Telegram does not tell (FROZEN_METHOD_INVALID)."""


class ToldToWaitError(Exception):
    """Telegram takes no such request for a time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"{seconds:.0f} s")
        self.seconds = seconds


class UnknownChatError(Exception):
    """The account does not know a chat now."""


class MessageSource:
    """Reads over one session's client."""

    __slots__ = ("_client", "_note_wait", "_peers", "_waits", "names")

    def __init__(
        self,
        client: AccountClient,
        peers: Peers,
        waits: Waits,
        note_wait: Callable[[str, float, str], None],
    ) -> None:
        """``note_wait`` takes a method's name, seconds, and Telegram's reason."""
        self._client = client
        self._peers = peers
        self._waits = waits
        self._note_wait = note_wait
        self.names: dict[int, str] = {}
        """The names of the chats that were read, by their marked ids."""

    async def fetch(self, chat: int, ids: Sequence[int]) -> list[Any]:
        """Return the messages of a marked chat that still exist, up to 200 ids at once.

        Raises ToldToWaitError, UnknownChatError, and telethon's errors when Telegram
        refuses or gives no answer.
        """
        peer = self._peer(chat)
        of_channel = isinstance(peer, types.InputPeerChannel)
        method = method_name(
            functions.channels.GetMessagesRequest
            if of_channel
            else functions.messages.GetMessagesRequest
        )
        return await self._asked(
            method, lambda: fetch_messages(self._client, chat, peer, ids, self.names)
        )

    async def page(self, chat: int, beyond: int, size: int) -> list[Any]:
        """Return the first messages of a marked chat above an id, oldest first; none: no more.

        There may be service messages among them. Raises what ``fetch`` does.
        """
        peer, method = self._peer(chat), method_name(functions.messages.GetHistoryRequest)
        return await self._asked(method, lambda: page_beyond(self._client, peer, beyond, size))

    def _peer(self, chat: int) -> Any:
        try:
            return self._peers.input_peer(chat)
        except ValueError as error:
            raise UnknownChatError(f"{chat} is not known to the account") from error

    async def _asked(self, method: str, ask: Callable[[], Awaitable[list[Any]]]) -> list[Any]:
        if left := self._waits.held(method):
            raise ToldToWaitError(left)
        self._waits.take(method)
        try:
            return await ask()
        except errors.FloodError as error:
            seconds = max(1.0, float(getattr(error, "seconds", None) or _UNKNOWN_SECONDS))
            self._note_wait(method, seconds, error_name(error))
            raise ToldToWaitError(seconds) from error
