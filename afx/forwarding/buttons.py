"""The option ``buttons``: what becomes of the links in the inline buttons of messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from afx.forwarding.entities import Styled
from afx.forwarding.facts import CAPTIONED, Facts
from afx.forwarding.forms import Choice
from afx.forwarding.transforms import LONGEST_CAPTION, LONGEST_TEXT
from afx.forwarding.utf16 import length

Buttons = Literal["", "keep", "text", "drop"]
Rows = tuple[tuple[tuple[str, str], ...], ...]
"""Rows of buttons: label and address."""

BUTTONS = Choice(
    "What becomes of buttons with links: keep (a bot sends them on), text (links below the text), "
    "or drop.",
    ("keep", "text", "drop"),
)
_SENTENCES = {
    "keep": "Buttons with links are sent on; only a bot may do so.",
    "text": "Buttons with links become links below the text.",
    "drop": "Copies have no buttons.",
}


def compile_buttons(value: Any) -> Buttons:
    """Return the option as a node uses it; raises ValueError for what it does not know."""
    if value not in ("", *BUTTONS.words):
        raise ValueError("the option 'buttons' is none of keep, text and drop")
    found: Buttons = value
    return found


def buttons_sentence(value: str) -> str:
    """Return the option in words."""
    return _SENTENCES[value]


def with_buttons(styled: Styled, facts: Facts) -> Styled | None:
    """Return a message's text with the links of its buttons below; None where it has no text."""
    has_caption = facts.media in CAPTIONED
    if not (has_caption or facts.media == "text"):
        return None
    most = LONGEST_CAPTION if has_caption else LONGEST_TEXT
    return with_links(styled, facts.buttons, most, facts.text_link)


def with_links(
    styled: Styled, rows: Rows, most: int, link: Callable[[int, int, str], Any]
) -> Styled:
    """Return a text with a line for each button, on which its link lies.

    ``most`` is how long it may be, in UTF-16 units: buttons that do not fit are left out.
    ``link`` makes an entity: (offset, length, address).
    """
    text, entities = styled.text, list(styled.entities)
    size, gap = length(text), "\n\n" if text else ""
    for label, url in (it for row in rows for it in row):
        shown = " ".join(label.split()) or url
        width = length(shown)
        if size + len(gap) + width > most:
            break
        size += len(gap)
        entities.append(link(size, width, url))
        text += gap + shown
        size += width
        gap = "\n"
    return Styled(text, tuple(entities))
