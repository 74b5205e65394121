"""A rule tried on a typed text or a saved message."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telethon.tl import types

from afx.errors import UsageError
from afx.forwarding.conditions import compile_filter
from afx.forwarding.facts import Facts
from afx.forwarding.saved import read, typed
from afx.forwarding.trial import decisive, described, tried

NOW = datetime(2026, 3, 6, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("filter", "text", "wanted"),
    [
        ({"contains": ["a"]}, "abc", "contains: a is true"),
        ({"contains": ["x"], "reply": False}, "abc", "all > contains: x is false"),
        ({"contains": ["a"], "reply": False}, "abc", "all: each of its conditions is true"),
        ({"any": [{"reply": True}, {"words": ["b"]}]}, "a b", "any > words: b is true"),
        (
            {"any": [{"reply": True}, {"words": ["c"]}]},
            "a b",
            "any: none of its conditions is true",
        ),
        ({"not": {"links": True}}, "see https://example.org", "not > links: true is true"),
        ({"not": {"all": [{"links": True}]}}, "none", "not > all > links: true is false"),
    ],
)
def test_the_condition_that_decided_is_named(filter: Any, text: str, wanted: str) -> None:
    assert decisive(compile_filter(filter), typed(text, now=NOW)) == wanted


def test_a_trial_shows_the_exact_copy() -> None:
    message = typed("😀 see https://old.example/x, @Someone #tag", now=NOW)
    made = tried({}, [{"rewrite_links": {"old.example": "n.example"}}, {"header": "h"}], message)
    assert made.forwards and made.changed
    assert made.text == "h\n😀 see https://n.example/x, @Someone #tag"
    assert [(it.kind, it.text, it.offset) for it in made.entities] == [
        ("Url", "https://n.example/x", 9),
        ("Mention", "@Someone", 30),
        ("Hashtag", "#tag", 39),
    ]


OWN = {"text": "now", "buttons": [[["Buy", "https://a.example/"], ["Start", ""]], [["?", ""]]]}
TELETHON = {
    "message": "now",
    "reply_markup": {
        "_": "ReplyInlineMarkup",
        "rows": [
            {
                "buttons": [
                    {"text": "Buy", "type": {"_": "Url", "url": "https://a.example/"}},
                    {"text": "Start", "type": {"_": "Callback", "data": "x"}},
                ]
            }
        ],
    },
}
OLDER = {
    "message": "now",
    "reply_markup": {"rows": [{"buttons": [{"text": "Buy", "url": "https://a.example/"}]}]},
}


@pytest.mark.parametrize("message", [OWN, TELETHON, OLDER])
def test_a_trial_shows_what_becomes_of_buttons(message: Any) -> None:
    facts = read(json.dumps(message).encode())
    below = tried({}, [{"footer": "bye"}], facts, buttons="text")
    assert below.text == "now\nbye\n\nBuy" and below.changed and not below.buttons
    assert [(it.kind, it.text, it.url) for it in below.entities] == [
        ("TextUrl", "Buy", "https://a.example/")
    ]
    kept = tried({}, [], facts, buttons="keep")
    assert [(it.label, it.url) for it in kept.buttons] == [("Buy", "https://a.example/")]
    assert (kept.text, kept.changed) == ("now", False)
    for none in (tried({}, [], facts, buttons="drop"), tried({}, [], facts)):
        assert (none.text, none.buttons) == ("now", ())


@pytest.mark.parametrize("wrong", [{"buttons": 5}, {"buttons": [5]}, {"reply_markup": {"rows": 1}}])
def test_malformed_buttons_are_refused(wrong: Any) -> None:
    with pytest.raises(UsageError):
        read(json.dumps({"text": "x", **wrong}).encode())


def test_a_message_of_an_export_is_read() -> None:
    line = {"id": 5, "date": "2026-03-06T12:00:00+00:00", "author": 77, "text": "#news"}
    made = read(json.dumps({**line, "media": "photo", "size": 9, "reply_to": 3}).encode())
    assert (made.id, made.sender, made.text, made.media, made.size) == (5, 77, "#news", "photo", 9)
    assert made.reply and not made.forwarded
    assert made.moment == NOW
    assert made.hashtags == {"news"}


def test_a_message_as_telethon_writes_it_is_read() -> None:
    attributes: list[Any] = [types.DocumentAttributeVideo(1.0, 2, 2, round_message=True)]
    document = types.Document(1, 2, b"", NOW, "video/mp4", 300, 2, attributes)
    message = types.Message(
        5,
        types.PeerChannel(123),
        NOW,
        "bold",
        from_id=types.PeerUser(9),
        entities=[types.MessageEntityBold(0, 4)],
        media=types.MessageMediaDocument(document=document),
        grouped_id=8,
    )
    made = read(message.to_json().encode())
    assert (made.chat, made.sender, made.sender_kind) == (-1_000_000_000_123, 9, "user")
    assert (made.media, made.size, made.album) == ("round", 300, 8)
    assert [(it.kind, it.length) for it in made.entities] == [("Bold", 4)]
    assert made.moment == NOW


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"rules": [{"session": "main"}]}',
        b'{"text": null, "id": 5, "date": 7}',
        b'{"text": 5}',
        b'{"text": "a", "media": "film"}',
        b'{"text": "a", "media": [1]}',
        b'{"text": "a", "entities": [1]}',
        b'{"text": "a", "entities": [{}]}',
        b'{"text": "a", "date": "yesterday"}',
        b'{"text": "a", "date": 99999999999999999}',
        b'{"text": "a", "date": "0001-01-01T00:00:00+00:00"}',
        b'{"text": "a", "date": "9999-12-31T23:59:59+00:00"}',
        b'{"text": "half of a character: \\ud800"}',
        b'{"text": "a", "buttons": [[["\\udc00", "https://example.org"]]]}',
        b'{"text": "a", "entities": [{"kind": "Bold", "offset": 1e30, "length": 1}]}',
        b'{"text": "a", "entities": [{"kind": "Bold", "offset": 0, "length": 2}]}',
        b'{"text": "a", "entities": [{"kind": "Bold", "offset": -1, "length": 1}]}',
        json.dumps({"text": "a" * 10_001}).encode(),
        json.dumps(
            {"text": "", "entities": [{"kind": "Bold", "offset": 0, "length": 0}] * 1_001}
        ).encode(),
        b'{"text": "a", "more": "' + b"a" * 1_048_576 + b'"}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(UsageError):
        read(data)


@pytest.mark.parametrize("part", ["a.", "#a ", "a@", "a.@b", "www.", "a@b.c-", "http://"])
def test_what_is_found_in_a_text_takes_linear_time(part: str) -> None:
    began = time.process_time()
    typed(part * (100_000 // len(part)), now=NOW)
    assert time.process_time() - began < 3.0  # 0.06; squared it would be 12


def test_an_address_of_mail_is_found_whole() -> None:
    [found] = typed("to first.last+tag@mail.example.co.uk.", now=NOW).entities
    assert (found.kind, found.offset, found.length) == ("Email", 3, 33)


keys = st.sampled_from(
    ["text", "message", "id", "date", "media", "entities", "peer_id", "reply_to"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda it: st.lists(it, max_size=2) | st.dictionaries(keys, it, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(keys, values))
def test_any_json_is_a_message_or_refused(fields: Any) -> None:
    try:
        made = read(json.dumps(fields).encode())
    except UsageError:
        return
    assert isinstance(made, Facts)
    tried({"links": True}, [{"footer": "{link} {date}"}], made)


def test_a_filter_is_described_in_lines() -> None:
    filter = {"any": [{"media": ["photo"], "size": {"max": 9}}, {"not": {"reply": True}}]}
    assert list(described(filter)) == [
        "any of:",
        "  - media: photo",
        "    size: max 9",
        "  - not:",
        "      reply: true",
    ]
