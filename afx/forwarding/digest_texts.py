"""What a digest's messages say: a line with how many, and of when, and one entry for each.

An entry is a line with the hour, the source as a link to the message, and the kinds of its
media; below it the text, which is shortened to a limit. An album is one entry. Where the entries
do not fit into one message of Telegram (4,096 UTF-16 units and 100 entities,
core.telegram.org/api/entities), the rest goes into more messages, each with a line of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from itertools import groupby
from typing import Any, NamedTuple

from afx.forwarding import utf16
from afx.forwarding.entities import Styled, joined, shortened, trimmed

LONGEST, MOST_ENTITIES = 4_096, 100
LONGEST_NAME = 48
"""UTF-16 units of a source's name."""


class Marks(NamedTuple):
    """Make entities, each of an offset and a length in UTF-16 units."""

    bold: Callable[[int, int], Any]
    link: Callable[[int, int, str], Any]


@dataclass(slots=True, frozen=True)
class Entry:
    """One collected message."""

    content: Styled
    """Its text, as the rule's transforms have made it."""
    chat: int
    """The source's marked id."""
    name: str = ""
    """The source's name; empty where that is not known."""
    link: str = ""
    """To the message; empty where there is none."""
    media: str = "text"
    date: int = 0
    """When it was posted, in Unix seconds."""
    album: int = 0
    """The same for all items of an album; 0 for none."""


def digest(entries: Sequence[Entry], length: int, zone: tzinfo, marks: Marks) -> Styled:
    """Return a message with all of some entries; there is one at least.

    ``length`` is how many UTF-16 units of an entry's text are kept; fewer where they would not
    fit. Of its entities what Telegram takes is kept, so that none of its own are dropped.
    """
    while True:
        found = _message(entries, length, zone, marks)
        if utf16.length(found.text) <= LONGEST or not length:
            break
        length //= 2
    found = shortened(found, LONGEST)
    return Styled(found.text, found.entities[:MOST_ENTITIES])


def fitting(entries: Sequence[Entry], length: int, zone: tzinfo, marks: Marks) -> int:
    """Return how many of the first entries fit into one message: one at least.

    The items of an album are not torn apart, unless there is nothing else.
    """
    head = _head(entries, zone, marks)
    # The line says less of fewer entries, and never more.
    room, marked, count = LONGEST - utf16.length(head.text), len(head.entities), 0
    for unit in _units(entries):
        piece = _entry(unit, length, zone, marks)
        room -= utf16.length(piece.text)
        marked += len(piece.entities)
        if count and (room < 0 or marked > MOST_ENTITIES):
            break
        count += len(unit)
    return count


def _message(entries: Sequence[Entry], length: int, zone: tzinfo, marks: Marks) -> Styled:
    pieces = [_entry(it, length, zone, marks) for it in _units(entries)]
    return joined([_head(entries, zone, marks), *pieces])


def _units(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Yield the entries with the items of an album together."""
    numbered = enumerate(entries)
    for _, them in groupby(numbered, lambda it: (it[1].chat, it[1].album or -1 - it[0])):
        yield [it for _, it in them]


def _head(entries: Sequence[Entry], zone: tzinfo, marks: Marks) -> Styled:
    count = sum(1 for _ in _units(entries))
    first, last = (
        datetime.fromtimestamp(it, UTC).astimezone(zone)
        for it in (min(it.date for it in entries), max(it.date for it in entries))
    )
    until = f"{last:%H:%M}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M}"
    text = (
        f"{count:,} {'message' if count == 1 else 'messages'}, "
        f"{first:%Y-%m-%d %H:%M} – {until} ({zone})"
    )
    return Styled(text, (marks.bold(0, utf16.length(text)),))


def _entry(items: Sequence[Entry], length: int, zone: tzinfo, marks: Marks) -> Styled:
    """Return an entry; of an album its items have, together, as much text as one message."""
    first = items[0]
    moment = datetime.fromtimestamp(first.date, UTC).astimezone(zone)
    name = shortened(Styled(" ".join(first.name.split())), LONGEST_NAME).text or str(first.chat)
    source = Styled(name, (marks.link(0, utf16.length(name), first.link),) if first.link else ())
    parts = [Styled(f"\n\n{moment:%H:%M} "), source, Styled(_media(items))]
    texts = [it for it in (trimmed(it.content) for it in items) if it.text]
    if texts and length:
        lines = joined([part for it in texts for part in (Styled("\n"), it)])
        parts.append(shortened(lines, length + 1))
    return joined(parts)


def _media(items: Sequence[Entry]) -> str:
    counts: dict[str, int] = {}
    for it in items:
        if it.media != "text":
            counts[it.media] = counts.get(it.media, 0) + 1
    named = (kind if count == 1 else f"{count} × {kind}" for kind, count in counts.items())
    return f" [{', '.join(named)}]" if counts else ""
