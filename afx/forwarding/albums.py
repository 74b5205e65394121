"""Albums as filters see them: one message with one caption, which comes as several.

Only one item of an album has its caption, as a rule the first one (api/files, "Grouped
media"): a filter that asks for text would tear the album apart. So an item without a caption
is judged by that of the items before it.
"""

from __future__ import annotations

from typing import Any

from afx.forwarding.facts import Facts


class AlbumCaptions:
    """The caption of the newest album of each chat."""

    __slots__ = ("_captions",)

    def __init__(self) -> None:
        self._captions: dict[int, tuple[int, str, tuple[Any, ...]]] = {}
        """chat → (album, text, entities)."""

    def judged(self, facts: Facts) -> Facts:
        """Return a message as filters are to see it; call it in the order of the messages."""
        if not facts.album:
            return facts
        if facts.text:
            self._captions[facts.chat] = (facts.album, facts.text, facts.entities)
            return facts
        album, text, entities = self._captions.get(facts.chat, (0, "", ()))
        if album == facts.album:
            facts.text, facts.entities = text, entities
        return facts
