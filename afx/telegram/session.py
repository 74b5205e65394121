"""A Telethon session over Redis: login, update state, entities.

The host loads all of it once, before the client connects; what is new is collected
here and written by the host in batches. Telethon's own update state is ignored: it
moves when updates are handed out, ours only when what they caused is settled (see
``boxes``).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from telethon import utils
from telethon.sessions import StringSession
from telethon.sessions.abstract import Session
from telethon.tl import types

from afx.forwarding.chat_names import has_id

_ACCOUNT = "account"


_POSITION = re.compile(r"[0-9]{1,10}", re.ASCII)
_INT32, _INT64 = 2**31, 2**63
_FEW = 8


class MalformedPositionError(Exception):
    """A stored position is not one; beginning anywhere else would lose messages."""


class StoredSession(Session):  # type: ignore[misc]
    """One login with its entities and cursors."""

    __slots__ = (
        "_auth_key",
        "_chosen",
        "_dc_id",
        "_port",
        "_server_address",
        "cursors",
        "fresh",
        "hashes",
    )

    def __init__(self, login: str, cursors: Mapping[str, str], hashes: Mapping[str, str]) -> None:
        """Open a login string; raises ValueError for any other text."""
        super().__init__()
        parsed = StringSession(login)
        self._dc_id = parsed.dc_id
        self._server_address = sys.intern(parsed.server_address)
        self._port = parsed.port
        self._auth_key = parsed.auth_key
        self.cursors = dict(cursors)
        # What is malformed is dropped: the chat is resolved again.
        self.hashes = {it: hashes[it] for it in hashes if _is_access_hash(hashes[it])}
        self.fresh: dict[str, str] = {}
        self._chosen: Collection[int] | None = None
        """The marked ids of the chats to remember; None for all."""

    # --- server and key ------------------------------------------------

    @property
    def dc_id(self) -> Any:
        """The data centre."""
        return self._dc_id

    @property
    def server_address(self) -> Any:
        """Its address."""
        return self._server_address

    @property
    def port(self) -> Any:
        """Its port."""
        return self._port

    @property
    def auth_key(self) -> Any:
        """The login's key."""
        return self._auth_key

    @auth_key.setter
    def auth_key(self, value: Any) -> None:
        self._auth_key = value

    @property
    def takeout_id(self) -> Any:
        """Not used."""
        return None

    @takeout_id.setter
    def takeout_id(self, value: Any) -> None:
        pass

    def set_dc(self, dc_id: Any, server_address: Any, port: Any) -> None:
        """Move to another data centre."""
        self._dc_id, self._server_address, self._port = dc_id, server_address, port

    # --- update state ---------------------------------------------------------------

    def get_update_state(self, entity_id: int) -> Any:
        """Return the stored position of the account (0) or of a channel."""
        if entity_id:
            pts = self.channel_cursor(entity_id)
            return types.updates.State(pts, 0, datetime.now(UTC), 0, 0) if pts else None
        cursor = self.account_cursor()
        if cursor is None:
            return None
        pts, qts, date = cursor
        return types.updates.State(pts, qts, datetime.fromtimestamp(date, UTC), 0, 0)

    def set_update_state(self, entity_id: int, state: Any) -> None:
        """Ignore Telethon's own position: it runs ahead of what is settled."""

    def get_update_states(self) -> Any:
        """Return a placeholder, so that Telethon does not ask for a state of its own."""
        return [(0, types.updates.State(1, 0, datetime.now(UTC), 0, 0))]

    def account_cursor(self) -> tuple[int, int, int] | None:
        """Return the account's stored (pts, qts, Unix date), or None.

        Raises MalformedPositionError, as do the methods for channels and chats.
        """
        text = self.cursors.get(_ACCOUNT)
        if not text:
            return None
        parts = text.split(":")
        if len(parts) != 3:
            raise MalformedPositionError(f"the stored position of the account is {text[:40]!r}")
        pts, qts, date = (_position(_ACCOUNT, it) for it in parts)
        return pts, qts, date

    def channel_cursor(self, channel: int) -> int:
        """Return a channel's stored pts, 0 for none."""
        field = f"channel:{channel}"
        return _position(field, self.cursors.get(field, "0"))

    def last_id(self, chat: int) -> int | None:
        """Return the newest settled message id of a chat, None when none is stored."""
        field = f"last:{chat}"
        text = self.cursors.get(field)
        return None if text is None else _position(field, text)

    # --- entities --------------------------------------------------------------------

    def process_entities(self, tlo: Any) -> None:
        """Store access hashes from answers that name chats or users.

        Updates are skipped: they are the hot path, and the rules' chats are resolved
        before any arrives.
        """
        if isinstance(tlo, types.Updates | types.UpdateShortSentMessage):
            return
        for entity in (*getattr(tlo, "chats", ()), *getattr(tlo, "users", ())):
            self.remember(entity)

    def remember(self, entity: Any) -> None:
        """Store one chat's or user's access hash, and its names.

        One with several has no ``username`` (constructor/channel, flag usernames).
        """
        if getattr(entity, "min", False):
            return
        try:
            chat = utils.get_peer_id(entity)
        except TypeError:
            return
        self._store(str(chat), str(getattr(entity, "access_hash", None) or 0))
        several = [it.username for it in getattr(entity, "usernames", None) or () if it.active]
        for name in (getattr(entity, "username", None), *several):
            if name:
                self._store(f"@{name.lower()}", str(chat))

    def name(self, name: str, chat: int) -> None:
        """Store another name of a chat, such as an invite link; it is as it is written."""
        self._store(name, str(chat))

    def get_input_entity(self, key: Any) -> Any:
        """Return an input peer by marked id, ``@name`` or peer; ValueError if unknown."""
        if isinstance(key, str):
            name = key if key.startswith("@") else f"@{key}"
            chat = int(self.hashes.get(name.lower(), 0))
        elif isinstance(key, int):
            chat = key
        else:
            chat = utils.get_peer_id(key)
        value = self.hashes.get(str(chat))
        if value is None:
            raise ValueError(f"no access hash of {key} is known")
        bare, kind = utils.resolve_id(chat)
        if kind is types.PeerChannel:
            return types.InputPeerChannel(bare, int(value))
        if kind is types.PeerChat:
            return types.InputPeerChat(bare)
        return types.InputPeerUser(bare, int(value))

    def keep_all(self) -> None:
        """Remember all chats, while those of the rules are looked up."""
        self._chosen = None

    def keep_only(self, chats: Iterable[int]) -> None:
        """Remember these chats only, from now on.

        Each difference names the authors of its messages: without a bound they would fill
        the memory, and Redis.
        """
        chosen = frozenset(chats)
        # A set of a few takes more than it saves.
        self._chosen = tuple(chosen) if len(chosen) <= _FEW else chosen
        for known in (self.hashes, self.fresh):
            for name in [it for it in known if not self._is_chosen(it, known[it])]:
                del known[name]

    def _is_chosen(self, name: str, value: str) -> bool:
        """Return whether an access hash, or a name of a chat, is to be remembered."""
        chat = name if has_id(name) else value
        return self._chosen is None or int(chat) in self._chosen

    def _store(self, name: str, value: str) -> None:
        if self._is_chosen(name, value) and self.hashes.get(name) != value:
            self.hashes[name] = value
            self.fresh[name] = value

    # --- the rest of Telethon's interface ---------------------------------------------

    def close(self) -> None:
        """Nothing to close."""

    def save(self) -> None:
        """Nothing to do: the host writes in batches."""

    def delete(self) -> None:
        """A login is removed in SQL, not here."""

    def cache_file(self, md5_digest: Any, file_size: Any, instance: Any) -> None:
        """No file is cached."""

    def get_file(self, md5_digest: Any, file_size: Any, cls: Any) -> None:
        """No file is cached."""


def _position(field: str, text: str) -> int:
    """Return a stored position; Telegram's are signed 32-bit numbers."""
    if not _POSITION.fullmatch(text) or int(text) >= _INT32:
        raise MalformedPositionError(f"the stored position {field!r} is {text[:40]!r}")
    return int(text)


def _is_access_hash(text: str) -> bool:
    """Return whether a text is a signed 64-bit number: an access hash, or a chat's id."""
    try:
        return len(text) <= 20 and text.isascii() and -_INT64 <= int(text) < _INT64
    except ValueError:
        return False


def account_field(pts: int, qts: int, date: int) -> tuple[str, str]:
    """Return the account's cursor as a field of the cursor hash."""
    return _ACCOUNT, f"{pts}:{qts}:{date}"


def channel_field(channel: int, pts: int) -> tuple[str, str]:
    """Return a channel's cursor as a field of the cursor hash."""
    return f"channel:{channel}", str(pts)


def last_field(chat: int, message: int) -> tuple[str, str]:
    """Return a chat's newest settled message as a field of the cursor hash."""
    return f"last:{chat}", str(message)
