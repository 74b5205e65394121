"""Templates with formatting: what they make, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telethon.tl import types

from afx.errors import InputFileError
from afx.forwarding import markup, utf16
from afx.forwarding.entities import Styled
from afx.forwarding.facts import Facts, Marked
from afx.forwarding.pipeline import Incoming
from afx.forwarding.rulefile import checked, schema
from afx.telegram.facts import TelegramFacts

CHANNEL = -1_000_000_000_005


def filled(template: str, text: str = "x", *, chat: int = CHANNEL) -> Styled:
    return markup.filled(markup.parse(template), Facts(text, chat=chat, id=7), Styled(text))


@pytest.mark.parametrize(
    ("template", "text", "entities"),
    [
        ("**a** b", "a b", [Marked("Bold", 0, 1)]),
        ("😀 __a **b**__", "😀 a b", [Marked("Italic", 3, 3), Marked("Bold", 5, 1)]),
        ("~~a~~||b||", "ab", [Marked("Strike", 0, 1), Marked("Spoiler", 1, 1)]),
        ("`a ** {text}`", "a ** x", [Marked("Code", 0, 6)]),
        ("[a](https://b.c/d_e)", "a", [Marked("TextUrl", 0, 1, "https://b.c/d_e")]),
        ("[a](b.c)", "a", [Marked("TextUrl", 0, 1, "https://b.c")]),
        (
            "**[a {text}]({link})**",
            "a x",
            [Marked("Bold", 0, 3), Marked("TextUrl", 0, 3, "https://t.me/c/5/7")],
        ),
        (r"\*\*a\*\* \[b](c) [d] \\", r"**a** [b](c) [d] " + "\\", []),
        ("{{a}} [b [c](d.e)", "{a} b [c", [Marked("TextUrl", 4, 4, "https://d.e")]),
        ("****a", "a", []),
    ],
)
def test_marks_become_formatting(template: str, text: str, entities: list[Marked]) -> None:
    assert filled(template) == Styled(text, tuple(entities))


def test_a_field_is_never_read_as_marks() -> None:
    assert filled("**{text}** a", "**x** [y](https://z.z) {chat} `") == Styled(
        "**x** [y](https://z.z) {chat} ` a", (Marked("Bold", 0, 31),)
    )


def test_a_link_that_a_private_chat_does_not_have_leaves_its_words() -> None:
    assert filled("[a]({link})", chat=5) == Styled("a")


@pytest.mark.parametrize(
    ("template", "wrong"),
    [
        ("**a", "does not end"),
        ("a__b", "does not end"),
        ("**a __b** c__", "ends before"),
        ("`a", "does not end"),
        ("[a](b c)", "no address"),
        ("[a](javascript:alert(1))", "no address"),
        ("[a]({text})", "cannot lead"),
        ("[a](https://b.c", "does not end"),
        ("[**a](https://b.c)**", "does not end"),
        ("**{nothing}**", "no field nothing"),
        ("**{text**", "not closed"),
    ],
)
def test_what_is_wrong_is_told_when_the_rule_is_made(template: str, wrong: str) -> None:
    for name in ("header", "footer", "text"):
        with pytest.raises(InputFileError, match=wrong):
            checked(None, [{name: {"markdown": template}}], "copy", "the test")


@given(st.text(st.sampled_from("*_~|`[]()\\{}ab. 😀"), max_size=40))
def test_any_text_is_a_template_or_has_something_wrong_with_it(text: str) -> None:
    if markup.wrong_with(text) is None:
        made = filled(text)
        size = utf16.length(made.text)
        assert all(it.length > 0 and it.offset + it.length <= size for it in made.entities)
        ends = [(it.offset, it.offset + it.length) for it in made.entities]
        assert not [1 for a, b in ends for c, d in ends if a < c < b < d], "they are nested"


@given(st.text(st.sampled_from("*_~|`[]()\\ab 😀"), min_size=1, max_size=40))
def test_a_backslash_before_each_sign_leaves_a_text_as_it_is(text: str) -> None:
    escaped = "".join(f"\\{it}" if it in "*_~|`[]()\\" else it for it in text)
    assert filled(escaped) == Styled(text)


def test_a_long_run_of_signs_is_read_at_once() -> None:
    for text in ("[" * 4_000, "[" * 2_000 + "]" * 2_000, "[]" * 2_000, "\\" * 4_000):
        markup.wrong_with(text)
    assert markup.parse("**" * 2_000).spans == ()


def test_telegrams_messages_get_telegrams_entities() -> None:
    message = Incoming(CHANNEL, 7, "x", (), False, None)
    found: Any = markup.filled(
        markup.parse("**a** [b]({link}) ||c||"), TelegramFacts(message), Styled("x")
    )
    assert found.entities == (
        types.MessageEntityBold(0, 1),
        types.MessageEntityTextUrl(2, 1, "https://t.me/c/5/7"),
        types.MessageEntitySpoiler(4, 1),
    )


def test_the_schema_takes_both_forms() -> None:
    properties = schema()["$defs"]["transform"]["anyOf"][0]["properties"]
    plain, table = properties["footer"]["anyOf"]
    assert plain["type"] == ["string", "number"]
    assert list(table["properties"]) == table["required"] == ["markdown"]
