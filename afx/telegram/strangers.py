"""Users who do not know an account: what it sends to them is what accounts are limited for.

A user is known who is a contact, a bot, the account itself, or has a conversation with it.
Source: core.telegram.org/constructor/user, method/messages.getPeerDialogs, and
telegram.org/faq_spam.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Container, Mapping, Sequence
from typing import Any

from telethon import errors, utils
from telethon.tl import functions, types

from afx.telegram.errors import is_for_people, refuses_chat
from afx.telegram.session import StoredSession

STRANGER = "it does not know the account; write to it first, or give the rule 'strangers: true'"
_PAGE = 100

_MET = "@met:"
"""Before the id of a user who was found to know the account: a name that nobody has."""

Call = Callable[[Any], Awaitable[Any]]


class Strangers:
    """Tells the strangers among the destinations of one session's rules."""

    __slots__ = ("_call", "_stored", "why")

    def __init__(self, call: Call, stored: StoredSession) -> None:
        self._call = call
        self._stored = stored
        self.why: dict[str, str] = {}
        """Destinations, as rules name them, that are not used, and why."""

    async def without(self, found: Mapping[str, int], wary: Container[str]) -> dict[str, int]:
        """Return chats by their names, without those of ``wary`` that are strangers.

        Each is asked about until it is known for good, so a restart costs no request.
        """
        self.why = {name: why for name, why in self.why.items() if name not in found}
        users = {name: it for name, it in found.items() if it > 0 and name in wary}
        asked = {it for it in users.values() if f"{_MET}{it}" not in self._stored.hashes}
        if not asked:
            return dict(found)
        try:
            unmet = await strangers(
                self._call, [self._stored.get_input_entity(it) for it in sorted(asked)]
            )
        except errors.FloodError:
            return dict(found)  # those whom it knows must not be cut off by that
        for it in asked - unmet:
            self._stored.name(f"{_MET}{it}", it)
        self.why.update({name: STRANGER for name, it in users.items() if it in unmet})
        return {name: it for name, it in found.items() if name not in self.why}


async def strangers(call: Call, peers: Collection[Any]) -> set[int]:
    """Return the ids of those of some input peers who are strangers; chats are none.

    For a bot there are none: Telegram lets it write to those alone who have begun. Raises
    RPCError.
    """
    users = [it for it in peers if isinstance(it, types.InputPeerUser)]
    found: set[int] = set()
    for page in _pages(users):
        try:
            found |= await _unknown(call, page)
        except errors.RPCError as error:
            if not refuses_chat(error):
                raise
            # One of them is not there any more: what is sent to them will say so.
            for it in page if len(page) > 1 else ():
                found |= await strangers(call, [it])
    return found


async def is_stranger(call: Call, peer: Any, entity: Any) -> bool:
    """Return whether a user is one, whom an answer has just named; a chat is none."""
    if not isinstance(peer, types.InputPeerUser) or _is_known(entity):
        return False
    return bool(await _without_conversation(call, [peer]))


async def _unknown(call: Call, users: Sequence[Any]) -> set[int]:
    named = [types.InputUser(it.user_id, it.access_hash) for it in users]
    answer = await call(functions.users.GetUsersRequest(named))
    known = {it.id for it in answer if _is_known(it)}
    return await _without_conversation(call, [it for it in users if it.user_id not in known])


async def _without_conversation(call: Call, users: Sequence[Any]) -> set[int]:
    if not users:
        return set()
    dialogs = [types.InputDialogPeer(it) for it in users]
    try:
        answer = await call(functions.messages.GetPeerDialogsRequest(dialogs))
    except errors.RPCError as error:
        if is_for_people(error):
            return set()
        raise
    met = {utils.get_peer_id(it.peer) for it in answer.dialogs if it.top_message}
    return {it.user_id for it in users} - met


def _is_known(user: Any) -> bool:
    names = ("contact", "mutual_contact", "is_self", "bot", "support")
    return any(getattr(user, it, False) for it in names)


def _pages(users: Sequence[Any]) -> list[Sequence[Any]]:
    return [users[at : at + _PAGE] for at in range(0, len(users), _PAGE)]
