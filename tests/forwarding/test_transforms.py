"""Transforms: what they make of a message, exactly."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afx.errors import InputFileError
from afx.forwarding import patterns, utf16
from afx.forwarding.facts import Facts, Marked
from afx.forwarding.forms import Place, node_of
from afx.forwarding.rule_text import UNREADABLE, Problems
from afx.forwarding.rulefile import checked
from afx.forwarding.transforms import FORMATTING, TRANSFORM, TRANSFORMS, compile_transform

STRIPPED = ["links", "mentions", "hashtags", "formatting"]
KINDS = {
    "b": "Bold",
    "u": "Url",
    "t": "TextUrl",
    "m": "Mention",
    "n": "MentionName",
    "h": "Hashtag",
}


def facts(marked: str, **values: Any) -> Facts:
    """Return a message of a text in which ``<b:…>`` is bold, ``<u:…>`` a link, and so on."""
    out, entities, stack = "", [], []
    index = 0
    while index < len(marked):
        if marked[index] == "<":
            stack.append((marked[index + 1], utf16.length(out)))
            index += 3
        elif marked[index] == ">":
            kind, begin = stack.pop()
            url = "https://old.example/x" if kind == "t" else ""
            entities.append(Marked(KINDS[kind], begin, utf16.length(out) - begin, url))
            index += 1
        else:
            out += marked[index]
            index += 1
    made = Facts(out, tuple(sorted(entities, key=lambda it: (it.offset, -it.length))))
    for name, it in values.items():
        setattr(made, name, it)
    return made


def drawn(text: str, entities: tuple[Any, ...]) -> str:
    """Return the form that ``facts`` takes."""
    names = {kind: name for name, kind in KINDS.items()}
    units = list(utf16.units(text))
    out = ""
    for index in range(len(text) + 1):
        at = units[index]
        out += ">" * sum(it.offset + it.length == at for it in entities)
        for it in sorted(entities, key=lambda it: -it.length):
            if it.offset == at:
                out += f"<{names[it.kind]}:"
        out += text[index : index + 1]
    return out


def result(value: Any, message: Facts) -> str | None:
    _, transform = checked(None, value if isinstance(value, list) else [value], "copy", "the test")
    changed = compile_transform(transform).apply(message)
    return None if changed is None else drawn(*changed)


CASES: list[tuple[Any, str, str | None]] = [
    (
        {"replace": {"text": "foo", "with": "barbar"}},
        "a <b:foo> 😀 <b:x foo y>",
        "a <b:barbar> 😀 <b:x barbar y>",
    ),
    ({"replace": {"text": ["one", "two"]}}, "😀one <b:two>three", "😀 three"),
    ({"replace": {"text": "FOO", "with": "x", "ignore_case": True}}, "foo", "x"),
    ({"replace": {"text": "FOO", "with": "x"}}, "foo", None),
    ({"replace": {"text": "lo wo", "with": "-"}}, "<b:hello> world", "<b:hel>-rld"),
    (
        {"regex": {"pattern": r"(?i)(\d+) ?usd", "with": r"$\1"}},
        "👍 <b:5 USD>, 10usd",
        "👍 <b:$5>, $10",
    ),
    ({"regex": {"pattern": r"(?P<a>x)|y", "with": r"[\g<a>\\]"}}, "xy", r"[x\][\]"),
    ({"regex": {"pattern": "x*", "with": "-"}}, "axb", "a-b"),
    ({"strip": "links"}, "see <u:http://a.b> and <t:this>!", "see and this!"),
    ({"strip": "links"}, "<u:http://a.b>\nnext", "next"),
    ({"strip": "mentions"}, "by <m:@ann>, <n:Bob>", "by , Bob"),
    ({"strip": ["hashtags", "formatting"]}, "<b:news> <h:#a> <h:#b>", "news"),
    ({"strip": "links"}, "<b:x>", None),
    (
        {"rewrite_links": {"old.example": "new.example"}},
        "<u:https://www.old.example/x?y> <u:old.example>",
        "<u:https://new.example/x?y> <u:new.example>",
    ),
    (
        {"rewrite_links": {"old.example": "http://n.example/"}},
        "<u:OLD.example/a> <u:old.examples>",
        "<u:http://n.example/a> <u:old.examples>",
    ),
    (
        {"rewrite_usernames": {"@ann": "bob"}},
        "<m:@Ann> <m:@anna> <u:t.me/ann/5>",
        "<m:@bob> <m:@anna> <u:t.me/bob/5>",
    ),
    ({"header": "From {chat}:"}, "<b:x>", "From -1000000000005:\n<b:x>"),
    (
        {"footer": "{link} at {date} {time}"},
        "😀<b:x>",
        "😀<b:x>\nhttps://t.me/c/5/7 at 2026-03-06 12:00",
    ),
    (
        {"text": "{{{text}}} / {text} by {sender}, {media}"},
        "<b:x>",
        "{<b:x>} / <b:x> by 9, text",
    ),
    ({"truncate": 4}, "<b:abcdef>", "<b:abc…>"),
    ({"truncate": 6}, "<b:abcdef>", None),
    (
        [{"replace": {"text": "a", "with": "b"}}, {"replace": {"text": "b", "with": "c"}}],
        "ab",
        "cc",
    ),
    ({"header": "  "}, "x", "x"),
    ({"style": "bold"}, "<b:a> 😀 <u:b.c>", "<b:a 😀 <u:b.c>>"),
    ({"style": "bold"}, "", None),
    ({"header": {"markdown": "**{chat}** \\**"}}, "x", "<b:-1000000000005> **\nx"),
    ({"footer": {"markdown": "[More]({link})"}}, "😀<b:x>", "😀<b:x>\n<t:More>"),
    (
        {"text": {"markdown": "**😀 {text}** [{date}](t.me/a)"}},
        "<b:x>",
        "<b:😀 <b:x>> <t:2026-03-06>",
    ),
    ({"replace": {"text": "x"}}, " x ", ""),
]


@pytest.mark.parametrize(("value", "message", "wanted"), CASES, ids=range(len(CASES)))
def test_a_transform_makes_what_it_says(value: Any, message: str, wanted: str | None) -> None:
    made = facts(message, chat=-1_000_000_000_005, id=7, sender=9, date=1_772_798_400)
    assert drawn(made.text, made.entities) == message
    assert result(value, made) == wanted


def test_each_transform_has_a_case() -> None:
    used = {
        name
        for value, _, _ in CASES
        for it in (value if isinstance(value, list) else [value])
        for name in it
    }
    assert used == set(TRANSFORMS)


def test_links_behind_a_text_are_rewritten_and_keep_their_text() -> None:
    changed = compile_transform([{"rewrite_links": {"old.example": "new.example"}}]).apply(
        facts("see <t:this>")
    )
    assert changed is not None
    assert [it.url for it in changed.entities] == ["https://new.example/x"]


def test_one_mapping_of_transforms_is_a_list_in_its_order() -> None:
    problems = Problems("the test")
    node = node_of({"strip": "links", "truncate": 9})
    assert TRANSFORM.read(node, Place(problems, "transform")) == [
        {"strip": ["links"]},
        {"truncate": 9},
    ]


@pytest.mark.parametrize("media", ["sticker", "round", "poll", "contact", "location", "dice"])
def test_what_can_have_no_caption_is_not_changed(media: str) -> None:
    assert result({"footer": "x"}, facts("", media=media)) is None


def test_a_caption_is_changed_and_one_is_added_where_there_is_none() -> None:
    assert result({"footer": "x"}, facts("<b:a>", media="photo")) == "<b:a>\nx"
    assert result({"footer": "x"}, facts("", media="photo")) == "x"


def test_an_item_of_an_album_without_a_caption_gets_none() -> None:
    transform = compile_transform([{"footer": "x"}])
    assert transform.apply(facts("", media="photo", album=1)) is None
    assert transform.apply(facts("a", media="photo", album=1)) == ("a\nx", ())


@pytest.mark.parametrize(("media", "most"), [("text", 4_096), ("video", 1_024)])
def test_what_is_too_long_for_telegram_is_cut(media: str, most: int) -> None:
    made = compile_transform([{"footer": "x"}]).apply(facts("😀" * 2_047, media=media))
    assert made is not None
    assert utf16.length(made.text) in (most - 1, most)


@pytest.mark.parametrize(
    ("value", "field", "words"),
    [
        ([], "transform", "no transform"),
        ({"prefix": "a"}, "transform.prefix", "no such transform"),
        ({"replace": {"with": "a"}}, "transform.replace", "no 'text'"),
        ({"regex": {"pattern": "(a", "with": "b"}}, "transform.regex.pattern", "brackets"),
        ({"regex": {"pattern": "(a)", "with": r"\2"}}, "transform.regex", "no group 2"),
        ({"regex": {"pattern": "(a)", "with": r"\g<b>"}}, "transform.regex", "named b"),
        ({"strip": "emoji"}, "transform.strip", "none of"),
        ({"header": "{title}"}, "transform.header", "no field title"),
        ({"header": "{text.__class__}"}, "transform.header", "brace"),
        ({"footer": "{text"}, "transform.footer", "brace"),
        ({"footer": "{text!r:>10}"}, "transform.footer", "brace"),
        ({"text": "{text}" * 4}, "transform.text", "more than 3 times"),
        ({"truncate": 5_000}, "transform.truncate", "4096"),
        ({"rewrite_links": "a"}, "transform.rewrite_links", "mapping"),
        ([{"truncate": it + 1} for it in range(31)], "transform", "30"),
    ],
)
def test_a_mistake_in_a_transform_is_found_and_named(value: Any, field: str, words: str) -> None:
    problems = Problems("the test")
    assert TRANSFORM.read(node_of(value), Place(problems, "transform")) is UNREADABLE
    [problem] = problems.all()
    assert problem.field == field
    assert words in problem.message


def test_the_mode_forward_refuses_transforms_in_one_sentence() -> None:
    with pytest.raises(InputFileError, match="a forward shows the message as it is"):
        checked(None, [{"footer": "x"}], "forward", "the test")


def test_a_transform_that_makes_a_text_grow_without_end_takes_no_time() -> None:
    begin = time.process_time()
    grow = [{"regex": {"pattern": "a", "with": "aaaa" * 900}}] * 30
    made = compile_transform(grow).apply(facts("a" * 4_000))
    assert made is not None
    assert len(made.text) == 4_096
    many = [{"text": "{text}{text}{text}"}] * 30
    assert compile_transform(many).apply(facts("<b:abc>" * 100)) is not None
    assert time.process_time() - begin < 3


transforms = st.lists(
    st.one_of(
        st.builds(
            lambda a, b: {"replace": {"text": [a], "with": b}},
            st.text("a😀 ", min_size=1, max_size=2),
            st.text("xy😀", max_size=3),
        ),
        st.builds(
            lambda it: {"strip": it},
            st.lists(st.sampled_from(STRIPPED), min_size=1, max_size=2, unique=True),
        ),
        st.builds(lambda it: {"truncate": it}, st.integers(1, 12)),
        st.sampled_from([{"header": "h😀"}, {"footer": "{text}"}, {"text": "{message} {text}"}]),
        st.just({"regex": {"pattern": "[a😀]+", "with": r"<\0>"}}),
    ),
    min_size=1,
    max_size=4,
)
messages = st.lists(
    st.tuples(
        st.text("ab😀 \n", min_size=1, max_size=4),
        st.sampled_from(["", *KINDS.values(), "CustomEmoji"]),
    ),
    max_size=5,
)


@given(transforms, messages)
def test_the_result_is_sound_and_the_same_each_time(value: list[Any], pieces: Any) -> None:
    text, entities = "", []
    for piece, kind in pieces:
        if kind:
            entities.append(Marked(kind, utf16.length(text), utf16.length(piece), "https://a.b"))
        text += piece
    message = Facts(text, tuple(entities))
    made = compile_transform(value).apply(message)
    assert made == compile_transform(json.loads(json.dumps(value))).apply(message)
    if made is None:
        return
    assert made.text == made.text.strip()
    made.text.encode("utf-16-le")
    for it in made.entities:
        assert it.length > 0 and it.offset >= 0 and it.offset + it.length <= utf16.length(made.text)
    if value[-1] == {"strip": ["formatting"]}:
        assert not {it.kind for it in made.entities} & FORMATTING


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4),
        lambda it: (
            st.lists(it, max_size=3)
            | st.dictionaries(st.sampled_from([*TRANSFORMS, "text", "with"]), it, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_any_value_is_transforms_that_can_be_applied_or_has_errors(value: Any) -> None:
    problems = Problems("the test")
    found = TRANSFORM.read(node_of(value), Place(problems, "transform"))
    assert (found is UNREADABLE) == bool(len(problems))
    if found is not UNREADABLE:
        compile_transform(found).apply(facts("<b:some> <u:text>"))


def test_a_pattern_whose_matches_each_look_at_the_whole_rest_is_given_up() -> None:
    pattern = ".(?:[^#]*a[ab]{900}[ab]{900}[ab]{900}#)?"
    chance = random.Random(1)
    text = "".join(chance.choice("ab") for _ in range(4_096))
    assert patterns.wrong_with(pattern) is None
    with pytest.raises(ValueError, match="takes too long"):
        list(patterns.matches(pattern, text))


def test_a_text_that_cannot_be_changed_and_would_have_to_be_is_refused() -> None:
    change = compile_transform(({"footer": "x"},))
    assert change.apply(facts("", media="other")) is None
    with pytest.raises(ValueError, match="cannot be changed"):
        change.apply(facts("secret words", media="other"))
