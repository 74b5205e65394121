"""Templates with formatting: ``{markdown: "**News**, [source]({link})"}``.

The marks are those that people know of Telegram's apps: ``**bold**``, ``__italic__``,
``~~struck~~``, ``||spoiler||``, `` `code` `` and ``[words](address)``; a backslash before one lets
it be itself. What comes in the place of a field is never read as marks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from afx.forwarding import templates, utf16
from afx.forwarding.entities import MOST_ENTITIES, Styled, joined
from afx.forwarding.facts import Facts
from afx.forwarding.forms import Place, Schema, Table, Text
from afx.forwarding.rule_text import Node

MARKS = {"**": "Bold", "__": "Italic", "~~": "Strike", "||": "Spoiler", "`": "Code"}
_FIELD = "\0"
"""Stands for a field while the marks are read; no text of a rule has it."""
_TOKEN = re.compile(r"\\(?P<escaped>[\\*_~|`\[\]()])|(?P<mark>\*\*|__|~~|\|\||`)|(?P<link>\[)")
_ADDRESS = re.compile(r"(?:https?://|tg://)\S+", re.ASCII | re.IGNORECASE)
_BARE_ADDRESS = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+(?:[/?#]\S*)?", re.ASCII | re.IGNORECASE)
_LONGEST_ADDRESS = 2_000


@dataclass(slots=True, frozen=True)
class Span:
    """Formatting of the pieces from one to another, without it."""

    kind: str
    first: int
    end: int
    url: tuple[str, ...] = ()
    """Texts and names of fields by turns, of a link."""


@dataclass(slots=True, frozen=True)
class Marked:
    """A template with formatting: texts and fields by turns, and what lies on them."""

    pieces: tuple[tuple[str, bool], ...]
    """(a text, or a field's name and True)."""
    spans: tuple[Span, ...]


class _Reading:
    """Reads the marks of one text, from its begin to its end."""

    def __init__(self, template: str) -> None:
        self._fields: list[str] = []
        texts: list[str] = []
        for text, name in templates.parse(template):
            texts.append(text + (_FIELD if name else ""))
            self._fields += [name] if name else []
        self._text = "".join(texts)
        self._next = 0
        self.pieces: list[tuple[str, bool]] = []
        self.spans: list[Span] = []

    def read(self) -> Marked:
        self._read(0, len(self._text))
        self.spans.reverse()  # of equal ones the outer one ended last, and comes first
        spans = sorted(self.spans, key=lambda it: (it.first, -it.end))
        return Marked(tuple(self.pieces), tuple(it for it in spans if it.first < it.end))

    def _read(self, at: int, end: int, *, in_link: bool = False) -> None:
        opened: list[tuple[str, int]] = []
        while at < end:
            found = _TOKEN.search(self._text, at, end)
            self._add(self._text[at : found.start() if found else end])
            if found is None:
                break
            at = found.end()
            if found["escaped"]:
                self._add(found["escaped"])
            elif found["link"]:
                at = at if in_link else self._link(at, end)
                if in_link or at == found.end():
                    self._add("[")
            elif found["mark"] == "`":
                at = self._code(at, end)
            elif any(found["mark"] == it for it, _ in opened):
                mark, first = opened.pop()
                if mark != found["mark"]:
                    raise ValueError(f"'{found['mark']}' ends before '{mark}', which began in it")
                self.spans.append(Span(MARKS[mark], first, len(self.pieces)))
            else:
                opened.append((found["mark"], len(self.pieces)))
        if opened:
            raise ValueError(f"'{opened[-1][0]}' does not end; write a backslash before each sign")

    def _code(self, at: int, end: int) -> int:
        close = self._text.find("`", at, end)
        if close < 0:
            raise ValueError("'`' does not end; write a backslash before it")
        first = len(self.pieces)
        self._add(self._text[at:close])
        self.spans.append(Span("Code", first, len(self.pieces)))
        return close + 1

    def _link(self, at: int, end: int) -> int:
        """Read a link whose words begin here; returns where it ends, ``at`` if it is none."""
        close = self._text.find("]", at, end)
        while close > 0 and self._text[close - 1] == "\\":
            close = self._text.find("]", close + 1, end)
        if close < 0 or not self._text.startswith("(", close + 1):
            return at
        last = self._text.find(")", close + 2, end)
        if last < 0:
            raise ValueError("the address of a link does not end with ')'")
        first = len(self.pieces)
        self._read(at, close, in_link=True)
        self.spans.append(Span("TextUrl", first, len(self.pieces), self._url(close + 2, last)))
        return last + 1

    def _url(self, at: int, end: int) -> tuple[str, ...]:
        texts = self._text[at:end].split(_FIELD)
        found = [texts[0]]
        for text in texts[1:]:
            found += [self._field(), text]
        if "text" in found[1::2]:
            raise ValueError("a link cannot lead to {text}")
        if len(found) == 1:
            if _BARE_ADDRESS.fullmatch(found[0]):
                found[0] = f"https://{found[0]}"
            if not _ADDRESS.fullmatch(found[0]):
                raise ValueError(f"'{found[0][:80]}' is no address; write one as https://…")
        return tuple(found)

    def _field(self) -> str:
        self._next += 1
        return self._fields[self._next - 1]

    def _add(self, text: str) -> None:
        for index, part in enumerate(text.split(_FIELD)):
            if index:
                self.pieces.append((self._field(), True))
            if part:
                self.pieces.append((part, False))


def parse(template: str) -> Marked:
    """Return a template with formatting; raises ValueError with what is wrong with it."""
    return _Reading(template).read()


def escaped(text: str) -> str:
    """Return a text with a backslash before each sign that could be a mark."""
    return re.sub(r"([\\*_~|`\[\]()])", r"\\\1", text)


def wrong_with(template: str) -> str | None:
    """Return what is wrong with a template with formatting, None for nothing."""
    if wrong := templates.wrong_with(template):
        return wrong
    try:
        parse(template)
    except ValueError as error:
        return str(error)
    return None


def filled(marked: Marked, facts: Facts, text: Styled) -> Styled:
    """Return a template with a message's values in its fields, and its formatting."""
    made = [
        (text if name == "text" else Styled(templates.value(name, facts)))
        if is_field
        else Styled(name)
        for name, is_field in marked.pieces
    ]
    ends = [0]
    for it in made:
        ends.append(ends[-1] + utf16.length(it.text))
    whole = joined(made)
    room = MOST_ENTITIES - len(whole.entities)
    own = [it for span in marked.spans if (it := _entity(span, ends, facts)) is not None][:room]
    entities = sorted([*own, *whole.entities], key=lambda it: (it.offset, -it.length))
    return Styled(whole.text, tuple(entities))


def _entity(span: Span, ends: list[int], facts: Facts) -> Any:
    begin, end = ends[span.first], ends[span.end]
    url = "".join(
        templates.value(it, facts) if index % 2 else it for index, it in enumerate(span.url)
    )
    # A private chat has no links to its messages: the words stay.
    if end <= begin or (span.url and not _ADDRESS.fullmatch(url)) or len(url) > _LONGEST_ADDRESS:
        return None
    return facts.entity(span.kind, begin, end - begin, url)


@dataclass(slots=True, frozen=True)
class Template:
    """A text with fields, or one with formatting, too: ``{markdown: TEXT}``."""

    about: str
    most: int = 4_000

    def read(self, node: Node, place: Place) -> Any:
        """Return the text, or the mapping."""
        form = self._table() if isinstance(node.value, dict) else self._text()
        return form.read(node, place)

    def schema(self) -> Schema:
        """Return its JSON Schema."""
        return {"anyOf": [self._text().schema(), self._table().schema()], "description": self.about}

    def _text(self) -> Text:
        return Text(self.about, self.most, templates.wrong_with)

    def _table(self) -> Table:
        text = Text("Its text, with **bold** and the like.", self.most, wrong_with)
        return Table(self.about, {"markdown": text}, ("markdown",))


def filler(value: str | Mapping[str, str]) -> Callable[[Facts, Styled], Styled]:
    """Return what fills a template."""
    if isinstance(value, str):
        parts = templates.parse(value)
        return lambda facts, text: templates.filled(parts, facts, text)
    marked = parse(value["markdown"])
    return lambda facts, text: filled(marked, facts, text)
