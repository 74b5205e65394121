"""Filters: what they accept, against an evaluator that takes no short cuts."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telethon.tl import types

from afx.forwarding.conditions import CONDITIONS, FILTER, compile_filter
from afx.forwarding.facts import MEDIA, Facts
from afx.forwarding.forms import Place, node_of
from afx.forwarding.patterns import compiled, wrong_with
from afx.forwarding.rule_text import UNREADABLE, Problems


def facts(text: str = "", entities: tuple[Any, ...] = (), **values: Any) -> Facts:
    made = Facts(text, entities)
    for name, it in values.items():
        setattr(made, name, it)
    return made


def read(value: Any) -> Any:
    problems = Problems("the test")
    found = FILTER.read(node_of(value), Place(problems, "filter"))
    problems.check()
    return found


def accepts(value: Any, message: Facts) -> bool:
    return compile_filter(read(value)).test(message)


# --- the algebra -----------------------------------------------------------------------------

alphabet = st.text("aäß 1😀", max_size=6)
leaf = st.one_of(
    st.builds(lambda it: {"contains": it}, st.lists(alphabet.filter(bool), min_size=1, max_size=2)),
    st.builds(lambda it: {"regex": [re.escape(it)]}, st.text("ab1", min_size=1, max_size=2)),
    st.builds(lambda it: {"media": it}, st.lists(st.sampled_from(MEDIA), min_size=1, max_size=3)),
    st.builds(lambda it: {"sender": it}, st.lists(st.integers(1, 3), min_size=1, max_size=2)),
    st.builds(lambda it: {"reply": it}, st.booleans()),
    st.builds(lambda it: {"forwarded": it}, st.booleans()),
    st.builds(
        lambda a, b: {"length": {"min": min(a, b), "max": max(a, b)}}, *[st.integers(0, 6)] * 2
    ),
)
filters = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.builds(lambda it: {"all": it}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda it: {"any": it}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda it: {"not": it}, inner),
        st.builds(lambda a, b: {**a, **b}, leaf, leaf),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=12,
)
messages = st.builds(
    facts,
    alphabet,
    media=st.sampled_from(MEDIA),
    sender=st.integers(1, 3),
    reply=st.booleans(),
    forwarded=st.booleans(),
)


def naive(value: Any, message: Facts) -> bool:
    """Evaluate a filter as the documentation says it."""
    if isinstance(value, list):
        return False not in [naive(it, message) for it in value]
    verdicts = []
    for name, it in value.items():
        if name == "all":
            verdict = naive(it, message)
        elif name == "any":
            verdict = True in [naive(each, message) for each in it]
        elif name == "not":
            verdict = not naive(it, message)
        elif name == "contains":
            verdict = any(each.casefold() in message.text.casefold() for each in it)
        elif name == "regex":
            verdict = any(re.search(each, message.text) for each in it)
        elif name == "length":
            verdict = it["min"] <= len(message.text) <= it["max"]
        elif name in ("media", "sender"):
            verdict = getattr(message, name) in it
        else:
            verdict = getattr(message, name) == it
        verdicts.append(verdict)
    return False not in verdicts


@given(filters, messages)
def test_a_filter_accepts_what_a_naive_evaluator_accepts(value: Any, message: Facts) -> None:
    assert accepts(value, message) == naive(value, message)


@given(filters)
def test_what_was_read_is_read_as_the_same(value: Any) -> None:
    assert read(read(value)) == read(value)


# --- the conditions --------------------------------------------------------------------------

LINKED = facts(
    "see Example.org/a and docs, #News for @Ann",
    (
        types.MessageEntityUrl(4, 13),
        types.MessageEntityTextUrl(22, 4, "https://user@www.Docs.Example.net:8080/x?y"),
        types.MessageEntityHashtag(28, 5),
        types.MessageEntityMention(38, 4),
        types.MessageEntityMentionName(0, 3, 77),
    ),
)
NOON = datetime(2026, 3, 6, 12, 0, tzinfo=UTC)  # a Friday
CASES = [
    ({"contains": "STRASSE"}, facts("Hauptstraße"), True),
    ({"contains": [2024]}, facts("in 2024"), True),
    ({"words": "ad"}, facts("read it"), False),
    ({"words": "ad"}, facts("An AD!"), True),
    ({"words": "buy now"}, facts("Buy,  now."), True),
    ({"words": "buy now"}, facts("now buy"), False),
    ({"regex": r"(?i)\busd\b"}, facts("5 USD"), True),
    ({"regex": ["x", r"^\d+$"]}, facts("12a"), False),
    ({"sender": [-100123]}, facts(sender=-100123), True),
    ({"language": "unknown"}, facts("ok"), True),
    ({"sender_kind": "channel"}, facts(sender_kind="user"), False),
    ({"media": ["photo", "video"]}, facts(media="video"), True),
    ({"size": {"max": "10 MiB"}}, facts(size=10 * 1024**2), True),
    ({"size": {"min": 11, "max": "1KiB"}}, facts(size=10), False),
    ({"length": {"max": 2}}, facts("😀😀"), True),
    ({"links": True}, LINKED, True),
    ({"links": False}, LINKED, False),
    ({"links": ["example.org"]}, LINKED, True),
    ({"links": ["https://example.net/"]}, LINKED, True),
    ({"links": ["ample.org"]}, LINKED, False),
    ({"links": ["example.org/a"]}, LINKED, True),
    ({"links": ["https://www.example.org/a/"]}, LINKED, True),
    ({"links": ["example.org/b", "example.org/"]}, LINKED, True),
    ({"links": ["example.org/b"]}, LINKED, False),
    ({"hashtags": ["#news"]}, LINKED, True),
    ({"hashtags": ["new"]}, LINKED, False),
    ({"mentions": ["@ann"]}, LINKED, True),
    ({"mentions": [77]}, LINKED, True),
    ({"mentions": True}, facts("@ann"), False),
    ({"via_bot": False, "edited": False}, facts(), True),
    ({"forwarded": True, "reply": True}, facts(forwarded=True), False),
    ({"time": {"weekdays": "fri"}}, facts(date=NOON.timestamp()), True),
    ({"time": {"hours": "12:00-12:01"}}, facts(date=NOON.timestamp()), True),
    ({"time": {"hours": "11:00-12:00"}}, facts(date=NOON.timestamp()), False),
    ({"time": {"hours": "22:00-06:00"}}, facts(date=NOON.timestamp()), False),
    ({"time": {"hours": "23:00-02:00", "zone": "Asia/Tokyo"}}, facts(date=NOON.timestamp()), False),
    ({"time": {"hours": "20:30-02:00", "zone": "Asia/Tokyo"}}, facts(date=NOON.timestamp()), True),
]


@pytest.mark.parametrize(("value", "message", "wanted"), CASES, ids=range(len(CASES)))
def test_a_condition_accepts_what_it_says(value: Any, message: Facts, wanted: bool) -> None:
    if "language" in value:
        pytest.importorskip("gcld3")
    assert accepts(value, message) is wanted
    assert accepts({"not": value}, message) is not wanted


def test_each_condition_has_a_case() -> None:
    assert {name for value, _, _ in CASES for name in value} == set(CONDITIONS)


@pytest.mark.parametrize(
    ("value", "field", "words"),
    [
        ({}, "filter", "no condition"),
        ({"all": []}, "filter.all", "not a list"),
        ({"contain": "a"}, "filter.contain", "no such condition"),
        ({"any": [{"regex": "(a"}]}, "filter.any.regex", "brackets"),
        ({"regex": "(?<=a)b"}, "filter.regex", "look-around"),
        ({"regex": r"(a{1,900}){1,9}"}, "filter.regex", "regular expression"),
        ({"words": "!!"}, "filter.words", "no letter"),
        ({"media": "movie"}, "filter.media", "none of"),
        ({"size": {"max": "10 parsecs"}}, "filter.size.max", "unit"),
        ({"length": {"min": 3, "max": 2}}, "filter.length", "larger"),
        ({"length": {"least": 3}}, "filter.length", "not known"),
        ({"links": [""]}, "filter.links", "not a text"),
        ({"reply": "true"}, "filter.reply", "neither"),
        ({"time": {"hours": "8-9"}}, "filter.time.hours", "08:00-18:30"),
        ({"time": {"zone": "Mars/Base"}}, "filter.time.zone", "no such time zone"),
        ({"time": {"zone": "../etc/passwd"}}, "filter.time.zone", "no such time zone"),
        ({"sender": ["@ann"]}, "filter.sender", "whole number"),
        ({"any": [{"length": {"max": it}} for it in range(201)]}, "filter", "200 conditions"),
        ({"contains": ["x" * 900 + str(it) for it in range(80)]}, "filter", "KiB"),
        ({"regex": [rf"\pL{it}\pN" for it in range(9)]}, "filter", "too large together"),
    ],
)
def test_a_mistake_in_a_filter_is_found_and_named(value: Any, field: str, words: str) -> None:
    problems = Problems("the test")
    assert FILTER.read(node_of(value), Place(problems, "filter")) is UNREADABLE
    [problem] = problems.all()
    assert problem.field == field
    assert words in problem.message


def test_a_pattern_that_freezes_backtracking_matchers_takes_no_time() -> None:
    begin = time.process_time()
    assert not accepts(
        {"regex": [r"^(a+)+$", r"(a|aa)+$", r"(.*a){20}$"]}, facts("a" * 4_000 + "!")
    )
    assert time.process_time() - begin < 1


def test_a_pattern_is_refused_before_it_costs_much() -> None:
    begin = time.process_time()
    for pattern in ("(" * 900, "(a?){900}a{900}", r"[\pL\pN]{1,900}", "((((a{9}){9}){9}){9}){9}"):
        if not wrong_with(pattern):
            compiled(pattern).search("a" * 4_096)
    assert time.process_time() - begin < 2


@given(st.text(max_size=30))
def test_any_text_is_a_pattern_or_refused(pattern: str) -> None:
    if pattern.isprintable() and not wrong_with(pattern):
        compiled(pattern).search("some text")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4),
        lambda it: (
            st.lists(it, max_size=3)
            | st.dictionaries(st.sampled_from(["all", "any", "not", *CONDITIONS]), it, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_any_value_is_a_filter_that_can_be_asked_or_has_errors(value: Any) -> None:
    problems = Problems("the test")
    found = FILTER.read(node_of(value), Place(problems, "filter"))
    assert (found is UNREADABLE) == bool(len(problems))
    if found is not UNREADABLE:
        assert compile_filter(found).test(LINKED) in (True, False)
