"""Chats that a task names: found without touching what the session remembers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from telethon import errors, utils
from telethon.tl import functions, types

from afx.forwarding.chat_names import ME, has_id, is_invite

_PAGE = 100
_MOST_PAGES = 100

Call = Callable[[Any], Awaitable[Any]]


class ChatNotFoundError(Exception):
    """The account knows no such chat."""


@dataclass(slots=True, frozen=True)
class FoundChat:
    """A chat or a user, and how to address it."""

    marked: int
    peer: Any
    entity: Any


class Dialogs:
    """What is known of some chats among an account's dialogs: these are listed once for all."""

    def __init__(self, wanted: Iterable[str]) -> None:
        """``wanted`` are the chats that will be looked for; names do not matter."""
        self.unknown = {int(it) for it in wanted if has_id(it)}
        self.found: dict[int, FoundChat] = {}

    def note(self, page: Any) -> None:
        """Note which of the chats a page of dialogs has."""
        for it in self.unknown & {utils.get_peer_id(it) for it in _entities(page)}:
            if (found := _by_id(page, it)) is not None:
                self.found[it] = found
                self.unknown.discard(it)


async def find_chat(call: Call, chat: str, dialogs: Dialogs | None = None) -> FoundChat:
    """Return a chat by ``@name``, by its marked id among the account's dialogs, by an invite
    link (``+HASH``) to one of which the account is a member, or the account's own (``me``).

    Raises ChatNotFoundError when there is none.
    """
    if chat == ME:
        [user] = await call(functions.users.GetUsersRequest([types.InputUserSelf()]))
        return found_chat(user)
    if is_invite(chat):
        return await _invited(call, chat)
    if chat.startswith("@"):
        try:
            answer = await call(functions.contacts.ResolveUsernameRequest(chat[1:]))
        except (errors.UsernameNotOccupiedError, errors.UsernameInvalidError) as error:
            raise ChatNotFoundError(f"{chat} is no name of a chat.") from error
        found = _by_id(answer, utils.get_peer_id(answer.peer))
    else:
        found = await _among_dialogs(call, int(chat), dialogs or Dialogs([chat]))
    if found is None:
        raise ChatNotFoundError(f"The account knows no chat {chat}.")
    return found


async def _invited(call: Call, link: str) -> FoundChat:
    try:
        answer = await call(functions.messages.CheckChatInviteRequest(link[1:]))
    except (
        errors.InviteHashExpiredError,
        errors.InviteHashInvalidError,
        errors.InviteHashEmptyError,
    ) as error:
        raise ChatNotFoundError(f"The invite link {link} leads nowhere.") from error
    if not isinstance(answer, types.ChatInviteAlready):
        raise ChatNotFoundError(f"The account is no member of the chat of {link}.")
    return found_chat(answer.chat)


def found_chat(entity: Any) -> FoundChat:
    """Return a chat that an answer has named."""
    marked = int(utils.get_peer_id(entity))
    return FoundChat(marked, utils.get_input_peer(entity, check_hash=False), entity)


def title_of(entity: Any) -> str:
    """Return a chat's title, or a user's name."""
    return str(utils.get_display_name(entity))[:200]


def _entities(answer: Any) -> tuple[Any, ...]:
    return (*getattr(answer, "chats", ()), *getattr(answer, "users", ()))


def _by_id(answer: Any, marked: int) -> FoundChat | None:
    for entity in _entities(answer):
        if utils.get_peer_id(entity) == marked:
            return found_chat(entity)
    return None


async def _among_dialogs(call: Call, marked: int, dialogs: Dialogs) -> FoundChat | None:
    if marked not in dialogs.unknown:
        return dialogs.found.get(marked)
    offset: dict[str, Any] = {
        "offset_date": None,
        "offset_id": 0,
        "offset_peer": types.InputPeerEmpty(),
    }
    for _ in range(_MOST_PAGES):
        page = await call(functions.messages.GetDialogsRequest(limit=_PAGE, hash=0, **offset))
        dialogs.note(page)
        if marked in dialogs.found:
            return dialogs.found[marked]
        if not isinstance(page, types.messages.DialogsSlice) or not page.messages:
            dialogs.unknown.clear()  # there are no more
            return None
        last = page.messages[-1]
        chat = _by_id(page, utils.get_peer_id(last.peer_id))
        if chat is None:
            return None
        offset = {"offset_date": last.date, "offset_id": last.id, "offset_peer": chat.peer}
    dialogs.unknown.clear()  # nobody has so many
    return None
