"""The chats behind invite links: an account is a member of them, or joins where a rule lets it.

Source: core.telegram.org/api/invites, method/messages.checkChatInvite and
method/messages.importChatInvite.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container
from typing import Any, Protocol

from telethon import errors, utils
from telethon.tl import functions, types

from afx.telegram.errors import error_name, is_for_people, refuses_chat
from afx.telegram.session import StoredSession

CHECK, JOIN = "messages.CheckChatInvite", "messages.ImportChatInvite"
NOT_JOINED = "the account is no member; let it join, or give the rule the option 'join: true'"
LATER = "the account joins it later: joins are spread over the day"
REQUESTED = "an admin of the chat has to let the account in"
CHECKED = "it wants to know whether a person joins; join with an app"
PAID = "it takes members for Stars, which afx never pays"
UNASKED = "Telegram wants a wait before it is looked up"
PEOPLE_ONLY = "bots cannot use invite links; give the chat's id"

Call = Callable[[Any], Awaitable[Any]]


class Gate(Protocol):
    """Says when an account may ask, and learns of it; keys are methods."""

    def wait_left(self, key: int | str) -> float:
        """Return for how many seconds a method is not to be asked for."""

    def note_request(self, key: int | str) -> None:
        """Count a request."""

    def note_wait(self, key: int | str, seconds: float, reason: str) -> None:
        """Note that Telegram wants a wait."""


class Invites:
    """The invite links of one session's rules."""

    __slots__ = ("_call", "_gate", "_requested", "_stored", "why")

    def __init__(self, call: Call, stored: StoredSession, gate: Gate) -> None:
        self._call = call
        self._stored = stored
        self._gate = gate
        self._requested: dict[str, str] = {}
        """Links where others have to do something; joining is asked for once."""
        self.why: dict[str, str] = {}
        """Why the chat behind a link is not known."""

    async def find(self, link: str, joins: Container[str]) -> int | None:
        """Return the marked id behind a link, None if the account is no member.

        It joins if the link is among ``joins``, and its budget allows. Raises RPCError for what
        says nothing about the link.
        """
        if (known := self._stored.hashes.get(link)) is not None:
            return int(known)
        try:
            entity = await self._look(link, may_join=link in joins)
        except errors.RPCError as error:
            if not (refuses_chat(error) or isinstance(error, errors.FloodError)):
                raise
            entity = None
            self.why[link] = PEOPLE_ONLY if is_for_people(error) else error_name(error)
        if entity is None:
            return None
        self.why.pop(link, None)
        self._requested.pop(link, None)
        self._stored.remember(entity)
        chat = int(utils.get_peer_id(entity))
        self._stored.name(link, chat)
        return chat

    async def _look(self, link: str, *, may_join: bool) -> Any:
        """Return the chat if the account is, or becomes, a member; notes why not."""
        if self._gate.wait_left(CHECK):
            self.why[link] = UNASKED
            return None
        found = await self._ask(CHECK, functions.messages.CheckChatInviteRequest(link[1:]))
        if isinstance(found, types.ChatInviteAlready):
            return found.chat
        if getattr(found, "subscription_pricing", None):
            self.why[link] = PAID
        elif not may_join:
            self.why[link] = NOT_JOINED
        elif link in self._requested:
            self.why[link] = self._requested[link]
        elif self._gate.wait_left(JOIN):
            self.why[link] = LATER
        else:
            return await self._join(link)
        return None

    async def _join(self, link: str) -> Any:
        self._gate.note_request(JOIN)
        try:
            answer = await self._ask(JOIN, functions.messages.ImportChatInviteRequest(link[1:]))
        except errors.RPCError as error:
            if error_name(error) != "INVITE_REQUEST_SENT":
                raise
            self.why[link] = self._requested[link] = REQUESTED
            return None
        chats = joined_chats(answer)
        if not chats:
            self.why[link] = self._requested[link] = CHECKED
            return None
        return chats[0]

    async def _ask(self, method: str, request: Any) -> Any:
        try:
            return await self._call(request)
        except errors.FloodError as error:
            if seconds := getattr(error, "seconds", 0):
                self._gate.note_wait(method, float(seconds), error_name(error))
            raise


def joined_chats(answer: Any) -> list[Any]:
    """Return the chats that a request to join has led into; none: a person has to go on.

    Source: core.telegram.org/type/messages.ChatInviteJoinResult.
    """
    return list(getattr(getattr(answer, "updates", answer), "chats", ()))
