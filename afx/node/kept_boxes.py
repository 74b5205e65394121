"""The boxes of source channels that cannot be read for now, with their positions."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping

from telethon import utils

from afx.telegram.boxes import Box

KEPT_SECONDS = 3_600.0
"""A source that can be read again by then goes on where it was; a later one begins at now."""


class KeptBoxes:
    """Takes boxes out of a reader, and puts them back; times are monotonic, in seconds."""

    __slots__ = ("_boxes",)

    def __init__(self) -> None:
        self._boxes: dict[int, tuple[Box, float]] = {}

    def __contains__(self, chat: int) -> bool:
        return chat in self._boxes

    def keep(self, chat: int, channels: MutableMapping[int, Box], now: float) -> None:
        """Take a channel's box out of a reader's; ``chat`` is its marked id."""
        box = channels.pop(utils.resolve_id(chat)[0], None)
        if box is not None and box.pts:
            self._boxes[chat] = (box, now)

    def forget(self, chats: Iterable[int]) -> None:
        """Forget some channels: nobody reads them any more."""
        for chat in chats:
            self._boxes.pop(chat, None)

    def put_back(self, chats: Iterable[int], channels: MutableMapping[int, Box]) -> None:
        """Let a reader go on with those of these channels that were kept."""
        for chat in chats:
            if kept := self._boxes.pop(chat, None):
                channels[kept[0].channel] = kept[0]

    def take_expired(self, now: float) -> dict[int, int]:
        """Forget what was kept for too long; returns the newest settled message of each."""
        expired = {it for it, (_, since) in self._boxes.items() if now - since > KEPT_SECONDS}
        return {it: self._boxes.pop(it)[0].last_ids.get(it, 0) for it in expired}
