"""Albums as filters see them: one message with one caption, which comes as several.

Only one item of an album has its caption, as a rule the first one (api/files, "Grouped
media"): a filter that asks for text would tear the album apart. So an item without a caption
is judged by that of the nearest item before it that has one, and where none has by the first
one behind it. What is in memory is lost with the process; then the album is read again, so
that a move or a restart in its middle judges the rest of it as the beginning.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from afx.forwarding.facts import Facts

REACH = 20
"""How far from an item the others of its album are looked for, in ids. An album has ten at
most; outside channels other chats' messages may lie between them."""


class AlbumCaptions:
    """The caption of the newest album of each chat."""

    __slots__ = ("_captions",)

    def __init__(self) -> None:
        self._captions: dict[int, tuple[int, str, tuple[Any, ...]]] | None = None
        """chat → (album, text, entities)."""

    def judged(self, facts: Facts) -> Facts | None:
        """Return a message as filters are to see it; call it in the order of the messages.

        None: its album is not known, and has to be learned.
        """
        if not facts.album:
            return facts
        if facts.text:
            self._note(facts.chat, facts.album, facts.text, facts.entities)
            return facts
        album, text, entities = (self._captions or {}).get(facts.chat, (0, "", ()))
        if album != facts.album:
            return None
        facts.text, facts.entities = text, entities
        return facts

    def forget(self, chat: int) -> None:
        """Know nothing of a chat's albums: what is judged next was read anew."""
        if self._captions is not None:
            self._captions.pop(chat, None)

    def learn(self, facts: Facts, others: Iterable[Facts]) -> None:
        """Learn the album of a message from its neighbours, in whichever order they are."""
        captioned = sorted(
            (it for it in others if it.album == facts.album and it.text), key=lambda it: it.id
        )
        before = [it for it in captioned if it.id < facts.id]
        chosen = before[-1] if before else captioned[0] if captioned else None
        text, entities = (chosen.text, chosen.entities) if chosen else ("", ())
        self._note(facts.chat, facts.album, text, entities)

    def _note(self, chat: int, album: int, text: str, entities: tuple[Any, ...]) -> None:
        if self._captions is None:
            self._captions = {}
        self._captions[chat] = (album, text, entities)
