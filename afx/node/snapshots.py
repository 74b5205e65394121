"""The contents of messages that wait, of rules that send them also when they are deleted meanwhile.

Such a message goes through the outbox of its lane (see ``outbox``): its reference and its content
are stored in the commit that lets the cursor pass it. What Telegram still has is sent as it is
then; what it has not is sent as it came. The contents are fields ``snap:CHAT:MESSAGE`` of the
session's cursor hash: what Telegram sent, compressed, and sealed with the cluster's key. Each is
removed when the last delivery of its message has left its lane.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import structlog
from telethon.extensions import BinaryReader
from telethon.tl import types

from afx.empty import NONE, NOTHING
from afx.forwarding.pipeline import Delivery, Incoming
from afx.forwarding.rules import Route
from afx.node.references import Reference
from afx.node.sealer import Sealer
from afx.reasons import TroubleReason
from afx.telegram.messages import incoming, incoming_short
from afx.telegram.session import MalformedPositionError

_MOST = 2_000
_MOST_CHARACTERS = 4 * 1024 * 1024
"""Of all that one session stores; as much is in memory."""
LARGEST = 64 * 1024
"""Characters of one; a message has a few thousand at most."""
_LARGEST_BYTES = 1024 * 1024
"""Of one that is unpacked."""
_FIELD = re.compile(r"snap:(-?[0-9]{1,19}):([0-9]{1,10})", re.ASCII)
_SEALED = re.compile(rf"[0-9A-Za-z._=-]{{1,{LARGEST}}}", re.ASCII)

log = structlog.get_logger()

Key = tuple[int, int]
"""A marked chat, and a message of it."""


def keeps_content(route: Route) -> bool:
    """Return whether a route sends messages also when they are deleted before they are sent.

    Not where the rule follows deletes: the copy would be deleted at once. Nobody can forward
    what is gone.
    """
    is_asked = route.options.snapshot and route.mode == "copy"
    return is_asked and "deletes" not in route.sync


class Trouble(Protocol):
    """Takes what hinders a session."""

    def trouble(self, reason: TroubleReason, text: str) -> None:
        """Report it."""


class Snapshots:
    """The contents that one session keeps."""

    __slots__ = ("_dirty", "_is_full", "_owner", "_sealer", "_sent", "_session", "_size", "_texts")

    def __init__(self, session: int, sealer: Sealer | None, owner: Trouble) -> None:
        """Without a ``sealer`` nothing is kept."""
        self._session = session
        self._sealer = sealer
        self._owner = owner
        self._texts: Mapping[Key, _Kept] = NOTHING
        self._size = 0
        self._is_full = False
        self._dirty: frozenset[Key] = NONE
        """Those that are to be stored, or removed."""
        self._sent: frozenset[Key] = NONE
        """Those of the commit that is under way."""

    def load(self, fields: dict[str, str], waiting: Iterable[tuple[int, Reference]]) -> None:
        """Take the stored contents out of a cursor's fields; raises MalformedPositionError.

        ``waiting`` are the references of earlier runs, with their destinations: what no send of
        them needs is removed.
        """
        found: dict[Key, _Kept] = {}
        for name in [it for it in fields if it.startswith("snap:")]:
            match, text = _FIELD.fullmatch(name), fields.pop(name)
            if match is None or not _SEALED.fullmatch(text):
                raise MalformedPositionError(f"a content is stored as {name[:40]!r}")
            found[int(match[1]), int(match[2])] = _Kept(text)
        if not found:
            return
        for destination, it in waiting:
            kept = found.get((it.source, it.message))
            if kept is not None and it.op == "send":
                kept.users.add((it.rule, destination))
        self._dirty = frozenset(it for it, kept in found.items() if not kept.users)
        self._texts = {it: kept for it, kept in found.items() if kept.users} or NOTHING
        self._size = sum(len(it.text) for it in self._texts.values())

    def keep(self, message: Incoming, delivery: Delivery) -> None:
        """Keep the content of a message until a delivery of it has left its lane."""
        key = (message.chat, message.id)
        kept = self._texts.get(key)
        if kept is None:
            text = self._sealed(message)
            if text is None:
                return
            kept = _Kept(text)
            if not isinstance(self._texts, dict):
                self._texts = {}
            self._texts[key] = kept
            self._size += len(text)
            self._dirty |= {key}
        kept.users.add((delivery.rule, delivery.destination))

    def _sealed(self, message: Incoming) -> str | None:
        if self._sealer is None or message.raw is None:
            return None
        if len(self._texts) >= _MOST or self._size >= _MOST_CHARACTERS:
            if not self._is_full:
                self._is_full = True
                self._owner.trouble(
                    TroubleReason.STORAGE_FULL,
                    f"the contents of {len(self._texts):,} messages wait already: of what comes "
                    "now only references are kept, and what is deleted meanwhile is not sent",
                )
            return None
        try:
            data = zlib.compress(bytes(message.raw), 1)
        except Exception as error:
            # Without its content it is sent all the same, unless it is deleted before.
            log.warning("content_not_kept", error=type(error).__name__)
            return None
        text = self._sealer.seal_snapshot(data, session_id=self._session)
        return text if len(text) <= LARGEST else None

    def find(self, chat: int, message: int) -> Incoming | None:
        """Return a message as it came; None for one that is not kept, or cannot be read."""
        kept = self._texts.get((chat, message))
        if kept is None or self._sealer is None:
            return None
        try:
            packed = self._sealer.open_snapshot(kept.text, session_id=self._session)
            unpacker = zlib.decompressobj()
            data = unpacker.decompress(packed, _LARGEST_BYTES)
            if unpacker.unconsumed_tail:
                raise ValueError("it is too large")
            found = _read(BinaryReader(data).tgread_object())
        except Exception as error:
            # Telethon raises many kinds, for example for a constructor of another version; their
            # texts have parts of the content.
            log.warning("content_not_read", error=type(error).__name__)
            return None
        return found if found is not None and (found.chat, found.id) == (chat, message) else None

    def settled(self, delivery: Delivery) -> None:
        """A delivery has left its lane."""
        key = (delivery.source, delivery.message)
        kept = self._texts.get(key) if self._texts else None
        if kept is None or not isinstance(self._texts, dict):
            return
        kept.users.discard((delivery.rule, delivery.destination))
        if not kept.users:
            del self._texts[key]
            self._size -= len(kept.text)
            self._dirty |= {key}
            if len(self._texts) <= _MOST // 2 and self._size <= _MOST_CHARACTERS // 2:
                self._is_full = False  # so that it is told once, and not each time one leaves

    # --- what is to be stored --------------------------------------------------------------

    def take_fields(self) -> list[str]:
        """Return what has changed since the last call, as field, value, …; "" for none."""
        if not self._dirty:
            self._sent = NONE
            return []
        self._sent, self._dirty = self._dirty, NONE
        return [
            text
            for chat, message in sorted(self._sent)
            for text in (f"snap:{chat}:{message}", self._text((chat, message)))
        ]

    def _text(self, key: Key) -> str:
        kept = self._texts.get(key)
        return kept.text if kept else ""

    def put_back(self) -> None:
        """What was taken last could not be stored."""
        self._dirty |= self._sent
        self._sent = NONE

    def mark_all(self) -> None:
        """Let the next commit write all contents: Redis has lost its data."""
        self._dirty |= frozenset(self._texts)


class _Kept:
    """One content, and the deliveries that need it: rule and destination."""

    __slots__ = ("text", "users")

    def __init__(self, text: str) -> None:
        self.text = text
        self.users: set[tuple[int, int]] = set()


def _read(raw: Any) -> Incoming | None:
    if isinstance(raw, types.UpdateShortMessage | types.UpdateShortChatMessage):
        return incoming_short(raw)
    return incoming(raw)
