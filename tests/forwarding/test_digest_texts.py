"""What digests say: exact entities, as few messages as hold them, none beyond a limit."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from afx.forwarding import digest_texts, utf16
from afx.forwarding.digest_texts import LONGEST, MOST_ENTITIES, Entry, Marks, digest, fitting
from afx.forwarding.entities import Styled
from afx.forwarding.facts import Marked

NOW = int(datetime(2026, 11, 30, 7, 2, tzinfo=UTC).timestamp())
CHAT = -1_000_000_000_005
MARKS = Marks(
    lambda offset, length: Marked("Bold", offset, length),
    lambda offset, length, url: Marked("TextUrl", offset, length, url),
)


def entry(text: str, number: int = 1, *entities: Any, **values: Any) -> Entry:
    link = f"https://t.me/c/5/{number}"
    at = NOW + 60 * number
    name = values.pop("name", "The News")
    return Entry(Styled(text, entities), CHAT, name, link, **{"date": at, **values})


def covered(it: Styled) -> dict[str, list[str]]:
    """Return what the entities of each kind cover."""
    found: dict[str, list[str]] = {}
    for each in it.entities:
        found.setdefault(each.kind, []).append(utf16.part(it.text, each.offset, each.length))
    return found


def test_it_has_a_line_with_count_and_period_and_an_entry_for_each_message() -> None:
    entries = [
        entry("one 😀 two", 1, Marked("Italic", 7, 3)),
        entry("", 2, media="photo"),
        entry("x" * 50, 3),
    ]
    found = digest(entries, 30, ZoneInfo("Europe/Berlin"), MARKS)
    assert found.text == (
        "3 messages, 2026-11-30 08:03 – 08:05 (Europe/Berlin)\n\n"
        "08:03 The News\none 😀 two\n\n"
        "08:04 The News [photo]\n\n"
        "08:05 The News\n" + "x" * 29 + "…"
    )
    assert covered(found) == {
        "Bold": ["3 messages, 2026-11-30 08:03 – 08:05 (Europe/Berlin)"],
        "TextUrl": ["The News"] * 3,
        "Italic": ["two"],
    }
    assert [it.url[-1] for it in found.entities if it.kind == "TextUrl"] == ["1", "2", "3"]


def test_an_album_is_one_entry_with_the_kinds_of_its_items_and_its_caption() -> None:
    entries = [
        entry("caption", 1, media="photo", album=7),
        entry("", 2, media="photo", album=7),
        entry("", 3, media="video", album=7),
        entry("more", 4, media="photo", album=8),
    ]
    found = digest(entries, 300, UTC, MARKS).text
    assert "2 messages, " in found
    assert "\n\n07:03 The News [2 × photo, video]\ncaption\n\n07:06 The News [photo]\nmore" in found


def test_the_period_names_both_days_and_an_unknown_source_is_its_id() -> None:
    entries = [Entry(Styled("a"), -7, date=NOW), Entry(Styled("b"), -7, date=NOW + 86_400)]
    found = digest(entries, 300, UTC, MARKS)
    assert found.text.startswith(
        "2 messages, 2026-11-30 07:02 – 2026-12-01 07:02 (UTC)\n\n07:02 -7"
    )
    assert [it.kind for it in found.entities] == ["Bold"]


texts = st.builds(
    lambda it, times: it * times, st.text("aé😀👍🏽 \n", max_size=9), st.integers(0, 60)
)


@st.composite
def entries(draw: Any) -> list[Entry]:
    found = []
    for number in range(draw(st.integers(1, 20))):
        text = draw(texts)
        units = utf16.units(text)
        marked = tuple(
            Marked(str(kind), units[begin], units[begin + 1] - units[begin])
            for kind, begin in enumerate(range(0, len(text), 4))
        )
        album, name = draw(st.sampled_from([0, 0, 1, 2])), draw(texts)
        found.append(entry(text, number, *marked, album=album, name=name))
    return found


@settings(max_examples=30)
@given(entries(), st.integers(20, 1_000))
def test_what_fits_is_within_the_limits_of_telegram_and_all_has_its_links(
    them: list[Entry], length: int
) -> None:
    count = fitting(them, length, UTC, MARKS)
    assert 1 <= count <= len(them)
    found = digest(them[:count], length, UTC, MARKS)
    size = utf16.length(found.text)
    assert size <= LONGEST and len(found.entities) <= MOST_ENTITIES
    assert all(it.offset >= 0 < it.length <= size - it.offset for it in found.entities)
    is_one_album = len({it.album for it in them[:count]}) == 1
    firsts = [
        it.link
        for before, it in zip([None, *them], them[:count], strict=False)
        if not it.album or before is None or before.album != it.album
    ]
    links = [it.url for it in found.entities if it.kind == "TextUrl"]
    assert links == firsts or is_one_album


@settings(max_examples=30)
@given(entries())
def test_what_has_become_longer_since_is_shortened_so_that_it_fits(them: list[Entry]) -> None:
    found = digest(them, 1_000, UTC, MARKS)
    assert utf16.length(found.text) <= LONGEST and len(found.entities) <= MOST_ENTITIES
    assert f"{found.text.partition(' ')[0]} message" in found.text


@settings(max_examples=30)
@given(entries(), st.integers(20, 1_000))
def test_all_entries_are_in_a_message_which_has_as_many_as_fit(
    them: list[Entry], length: int
) -> None:
    left = them
    while left:
        count = fitting(left, length, UTC, MARKS)
        if count < len(left):
            album = left[count].album
            end = count + 1
            while album and end < len(left) and left[end].album == album:
                end += 1
            more = digest_texts._message(left[:end], length, UTC, MARKS)
            assert utf16.length(more.text) > LONGEST or len(more.entities) > MOST_ENTITIES
        left = left[count:]
