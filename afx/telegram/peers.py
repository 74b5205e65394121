"""The chats that rules name: their marked ids and input peers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from telethon import errors, utils
from telethon.tl import functions, types

from afx.forwarding.chat_names import ME, has_id, is_invite
from afx.forwarding.outputs import is_output_text
from afx.forwarding.pipeline import Delivery
from afx.forwarding.topics import chat_of
from afx.telegram.client import AccountClient
from afx.telegram.errors import error_name, is_for_people, refuses_chat
from afx.telegram.invites import Gate, Invites
from afx.telegram.leave import NO_LEAVE, Leave
from afx.telegram.sender import Outcome
from afx.telegram.session import StoredSession
from afx.telegram.strangers import Strangers

_PAGE = 100
_MYSELF = types.InputUserSelf()
_RESOLVE = "contacts.ResolveUsername"
_NOTHING: Mapping[str, str] = {}
_WAITS = "Telegram wants a wait before names are looked up"


class Output(Protocol):
    """A destination that is no chat."""

    async def send(self, batch: Sequence[Delivery]) -> list[Outcome]:
        """Send deliveries in order; returns the outcome of each."""


class OutputSource(Protocol):
    """The outputs of one session."""

    def learn(self, text: str) -> int | None:
        """Return the number of an output; None when this node cannot use it."""

    def of(self, number: int) -> Output | None:
        """Return an output by its number; None for that of a chat."""


class Peers:
    """Resolves the chats of one session's rules, and gives their input peers."""

    __slots__ = (
        "_client",
        "_gate",
        "_invites",
        "_kept",
        "_lock",
        "_outputs",
        "_resolving",
        "_stored",
        "_strangers",
        "_why",
    )

    def __init__(
        self,
        client: AccountClient,
        stored: StoredSession,
        outputs: OutputSource | None = None,
        gate: Gate | None = None,
    ) -> None:
        """``outputs`` are no chats; without a ``gate`` no invite link is looked up."""
        self._client = client
        self._stored = stored
        self._outputs = outputs
        self._gate = gate
        # Most sessions have no such chats: 5,000 of them would cost memory.
        self._strangers: Strangers | None = None
        self._invites: Invites | None = None
        self._why: Mapping[str, str] = _NOTHING
        self._kept: frozenset[int] = frozenset()
        """Chats of other sessions' rules, which this one posts to or reads for them."""
        self._lock: asyncio.Lock | None = None
        """Held while chats are looked up: what is found meanwhile must not be forgotten."""
        self._resolving = 0

    def output(self, destination: int) -> Output | None:
        """Return the output that a destination is; None for a chat."""
        return self._outputs.of(destination) if self._outputs else None

    def input_peer(self, chat: int) -> Any:
        """Return the input peer of a marked id; ValueError when it is unknown."""
        return self._stored.get_input_entity(chat)

    @property
    def why_unknown(self) -> Mapping[str, str]:
        """Why chats were not found, as rules name them, where that is known."""
        invites = self._invites.why if self._invites else {}
        return {**invites, **(self._strangers.why if self._strangers else {}), **self._why}

    async def resolve(
        self, chats: Iterable[str], known: Iterable[int] = (), leave: Leave = NO_LEAVE
    ) -> dict[str, int]:
        """Return the marked id of each chat that the account knows; of a topic that of its forum.

        The account's dialogs are listed once, and only if a chat is unknown otherwise.
        Only these are remembered, and those ``known`` before; ``leave`` says which are joined.
        """
        lock = self._lock = self._lock or asyncio.Lock()
        self._resolving += 1
        try:
            async with lock:
                return await self._resolve(chats, known, leave)
        finally:
            self._resolving -= 1
            if not self._resolving:
                self._lock = None

    async def learn(self, chat: int, known: Iterable[int]) -> Any:
        """Return the input peer of a chat that no rule of this session names.

        ``known`` are the chats of its rules. Raises ValueError when the account does not know
        the chat.
        """
        if chat not in self._kept:
            found = await self.resolve([str(chat)], known)
            if found:
                self._kept |= {chat}
                self._stored.keep_only({*known, *self._kept})
        return self.input_peer(chat)

    async def _resolve(
        self, chats: Iterable[str], known: Iterable[int], leave: Leave
    ) -> dict[str, int]:
        self._stored.keep_all()
        found: dict[str, int] = {}
        dialogs_listed = is_bot = False
        for name in dict.fromkeys(chats):
            if is_output_text(name):
                number = self._outputs.learn(name) if self._outputs else None
                found.update({} if number is None else {name: number})
                continue
            if is_invite(name):
                chat_id = await self._join(name, leave)
                found.update({} if chat_id is None else {name: chat_id})
                continue
            chat = chat_of(name)
            chat_id = await self._find(chat)
            if chat_id is None and not dialogs_listed:
                dialogs_listed = True
                is_bot = not await self._list_dialogs()
                chat_id = await self._find(chat)
            if chat_id is None and is_bot and has_id(chat):
                await self._ask_as_bot(int(chat))
                chat_id = await self._find(chat)
            if chat_id is not None:
                found[name] = chat_id
        if self._strangers or any(it > 0 and name in leave.wary for name, it in found.items()):
            strangers = self._strangers = self._strangers or Strangers(self._client, self._stored)
            found = await strangers.without(found, leave.wary)
        self._stored.keep_only({*found.values(), *known, *self._kept})
        return found

    async def _find(self, chat: str) -> int | None:
        """Return a chat's marked id, None if it is unknown."""
        if chat == ME:
            return await self._find_myself()
        if has_id(chat):
            return int(chat) if str(int(chat)) in self._stored.hashes else None
        known = self._stored.hashes.get(chat.lower()) or await self._ask(chat)
        return int(known) if known else None

    async def _ask(self, name: str) -> str | None:
        """Return the id of what Telegram knows by a name; None for nothing, and during a wait.

        Such a wait may last for hours: it must not keep the other chats from being read.
        """
        self._why = {it: why for it, why in self._why.items() if it != name} or _NOTHING
        if self._gate and self._gate.wait_left(_RESOLVE):
            self._why = {**self._why, name: _WAITS}
            return None
        try:
            await self._client(functions.contacts.ResolveUsernameRequest(name[1:]))
        except errors.FloodError as error:
            self._why = {**self._why, name: _WAITS}
            if self._gate and (seconds := getattr(error, "seconds", 0)):
                self._gate.note_wait(_RESOLVE, float(seconds), error_name(error))
        except errors.RPCError as error:
            if not refuses_chat(error):
                raise
        return self._stored.hashes.get(name.lower())

    async def _join(self, link: str, leave: Leave) -> int | None:
        if self._invites is None and self._gate:
            self._invites = Invites(self._client, self._stored, self._gate)
        return await self._invites.find(link, leave.joins) if self._invites else None

    async def _find_myself(self) -> int | None:
        """Return the account's own id: as a chat it is the Saved Messages."""
        if ME not in self._stored.hashes:
            for user in await self._client(functions.users.GetUsersRequest([_MYSELF])):
                self._stored.remember(user)
                self._stored.name(ME, utils.get_peer_id(user))
        return int(self._stored.hashes[ME]) if ME in self._stored.hashes else None

    async def _ask_as_bot(self, chat: int) -> None:
        """Learn the access hash of a chat that a bot is a part of: it asks with a hash of 0."""
        bare, kind = utils.resolve_id(chat)
        request: Any = functions.messages.GetChatsRequest([bare])
        if kind is types.PeerChannel:
            request = functions.channels.GetChannelsRequest([types.InputChannel(bare, 0)])
        elif kind is types.PeerUser:
            request = functions.users.GetUsersRequest([types.InputUser(bare, 0)])
        try:
            answer = await self._client(request)
        except errors.RPCError as error:
            # As of a name: such a wait must not keep the other rules from running.
            if refuses_chat(error) or isinstance(error, errors.FloodError):
                return
            raise
        for entity in answer if isinstance(answer, list) else answer.chats:
            self._stored.remember(entity)

    async def _list_dialogs(self) -> bool:
        """Learn the access hashes of all chats of the account, page by page; bots have no list.

        Source: method/messages.getDialogs ("Only users can use this method").
        """
        offset: dict[str, Any] = {
            "offset_date": None,
            "offset_id": 0,
            "offset_peer": types.InputPeerEmpty(),
        }
        while True:
            try:
                page = await self._client(
                    functions.messages.GetDialogsRequest(limit=_PAGE, hash=0, **offset)
                )
            except errors.RPCError as error:
                if is_for_people(error):
                    return False
                raise
            if not isinstance(page, types.messages.DialogsSlice) or not page.messages:
                return True
            last = page.messages[-1]
            offset = {
                "offset_date": last.date,
                "offset_id": last.id,
                "offset_peer": self.input_peer(utils.get_peer_id(last.peer_id)),
            }
