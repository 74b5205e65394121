"""Entities stay on their characters, whatever is done to the text (UTF-16, overlaps)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telethon.tl import types

from afx.forwarding import utf16
from afx.forwarding.entities import (
    WHOLE_ONLY,
    Edit,
    Styled,
    at,
    edited,
    joined,
    shortened,
    spans,
    trimmed,
)
from afx.forwarding.facts import Marked, kind_of

text = st.text("aé 😀👍\n", max_size=12)


def units_of(value: str) -> list[str]:
    """Return a text's UTF-16 units."""
    data = value.encode("utf-16-le")
    return [data[it : it + 2].hex() for it in range(0, len(data), 2)]


@st.composite
def styled(draw: Any, content: Any = text) -> Styled:
    """A text with entities at any characters, overlapping as they like."""
    value = draw(content)
    units = utf16.units(value)
    entities = []
    for number in range(draw(st.integers(0, 4))):
        begin = draw(st.integers(0, max(0, len(value) - 1)))
        end = draw(st.integers(begin, len(value)))
        if end > begin:
            kind = draw(st.sampled_from(["Bold", "Url"]))
            entities.append(Marked(kind, units[begin], units[end] - units[begin], str(number)))
    return Styled(value, tuple(entities))


@st.composite
def edits(draw: Any, value: str) -> list[Edit]:
    bounds = sorted(draw(st.lists(st.integers(0, len(value)), max_size=6)))
    pairs = list(zip(bounds[::2], bounds[1::2], strict=False))
    found: list[Edit] = []
    for start, end in pairs:
        new = draw(text)
        # Two edits at one place would have no order.
        if new != value[start:end] and (
            not found or (found[-1].start, found[-1].end) != (start, end)
        ):
            found.append(Edit(start, end, new))
    return found


def painted(it: Styled) -> list[set[str]]:
    """Return which entities cover each unit."""
    found: list[set[str]] = [set() for _ in units_of(it.text)]
    for each in it.entities:
        assert each.length > 0 and each.offset >= 0
        assert each.offset + each.length <= len(found)
        for index in range(each.offset, each.offset + each.length):
            found[index].add(each.url)
    return found


@given(st.data())
def test_a_kept_character_keeps_its_entities_and_a_new_one_has_those_around_it(data: Any) -> None:
    before = data.draw(styled())
    changes = data.draw(edits(before.text))
    after = edited(before, changes)
    colours, units = painted(before), utf16.units(before.text)
    wanted: list[tuple[str, set[str]]] = []
    behind = 0
    for it in [*changes, Edit(len(before.text), len(before.text), "")]:
        for index in range(behind, it.start):
            wanted += [(before.text[index], colours[units[index]])]
        start, end = units[it.start], units[it.end]
        around = {
            e.url
            for e in before.entities
            if (e.offset <= start and e.offset + e.length >= end and start < end)
            or (e.offset < start < e.offset + e.length and start == end)
        }
        wanted += [(each, around) for each in it.text]
        behind = it.end
    assert after.text == "".join(it for it, _ in wanted)
    kinds = {it.url: it.kind for it in before.entities}
    kept = {it.url for it in after.entities}
    got = painted(after)
    index = 0
    for character, colour in wanted:
        # One of which a part is gone may be gone as a whole, if it means nothing then.
        expected = {it for it in colour if it in kept or kinds[it] not in WHOLE_ONLY}
        for _ in units_of(character):
            assert got[index] == expected
            index += 1


@given(st.data())
def test_an_entity_that_no_edit_touches_is_kept(data: Any) -> None:
    before = data.draw(styled())
    changes = data.draw(edits(before.text))
    units = utf16.units(before.text)
    kept = {it.url for it in edited(before, changes).entities}
    for it in before.entities:
        inside = range(it.offset, it.offset + it.length)
        touched = any(
            units[e.start] < inside.stop and inside.start < max(units[e.end], units[e.start] + 1)
            for e in changes
        )
        assert touched or it.url in kept


@given(st.lists(styled(), max_size=4))
def test_joined_texts_keep_their_entities(parts: list[Styled]) -> None:
    whole = joined(parts)
    assert whole.text == "".join(it.text for it in parts)
    assert painted(whole) == [colour for it in parts for colour in painted(it)]


@given(styled(), st.integers(1, 20))
def test_a_shortened_text_fits_and_begins_as_it_did(before: Styled, most: int) -> None:
    after = shortened(before, most)
    assert utf16.length(after.text) <= most
    assert after.text == before.text or before.text.startswith(after.text.removesuffix("…"))
    units_of(after.text)
    painted(after)


@pytest.mark.parametrize(
    ("value", "most", "wanted"),
    [
        ("abcdef", 4, "abc…"),
        ("ab😀cd", 4, "ab…"),
        ("a👍🏽b", 5, "a…"),
        ("a👩\u200d👩\u200d👧b", 8, "a…"),
        ("ae\u0301b", 3, "a…"),
        ("abc", 1, "…"),
    ],
)
def test_no_character_is_cut_in_two(value: str, most: int, wanted: str) -> None:
    assert shortened(Styled(value), most).text == wanted


@given(styled())
def test_a_trimmed_text_has_no_white_space_at_its_ends(before: Styled) -> None:
    after = trimmed(before)
    assert after.text == before.text.strip()
    painted(after)


@given(text, st.integers(0, 30), st.integers(0, 30))
def test_offsets_are_those_of_utf_16(value: str, offset: int, size: int) -> None:
    assert utf16.length(value) == len(units_of(value))
    assert list(utf16.units(value)) == [len(units_of(value[:it])) for it in range(len(value) + 1)]
    if offset in utf16.units(value) and offset + size in utf16.units(value):
        data = value.encode("utf-16-le")
        wanted = data[2 * offset : 2 * (offset + size)].decode("utf-16-le")
        assert utf16.part(value, offset, size) == wanted


@given(st.integers(-5, 50), st.integers(-5, 50), styled())
def test_an_entity_beyond_its_text_does_no_harm(offset: int, length: int, before: Styled) -> None:
    wild = Styled(before.text, (Marked("Bold", offset, length, "x"),))
    edited(wild, [Edit(0, min(1, len(before.text)), "new")])
    spans(wild, lambda _: True)
    shortened(wild, 3)


def test_telegrams_own_entities_are_copied_not_changed() -> None:
    link = types.MessageEntityTextUrl(1, 2, "https://example.org")
    moved = at(link, 5, 2, url="https://example.net")
    assert (link.offset, link.url) == (1, "https://example.org")
    assert (moved.offset, moved.length, moved.url) == (5, 2, "https://example.net")
    assert kind_of(moved) == "TextUrl"
    assert bytes(moved) == bytes(types.MessageEntityTextUrl(5, 2, "https://example.net"))
