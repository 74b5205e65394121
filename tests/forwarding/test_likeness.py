"""How alike two texts are, and the option that asks for it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afx.errors import InputFileError
from afx.forwarding.dedupe import Dedupe, compile_dedupe
from afx.forwarding.likeness import SKETCH, likeness, pairs_of, sketch_of
from afx.forwarding.options import compile_options, sentences, shown_options
from afx.forwarding.rule_docs import dump
from afx.forwarding.rulefile import checked_options, parse

WORDS = st.lists(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), max_size=60)
FILE = """rules:
  - session: main
    name: once
    from: "@the_news"
    to: "@my_copies"
    options: {{dedupe: {}}}
"""


def alike(one: str, other: str) -> float:
    return likeness(sketch_of(pairs_of(one)), sketch_of(pairs_of(other)))


@given(WORDS, WORDS)
@settings(max_examples=200)
def test_it_is_between_0_and_1_the_same_both_ways_and_1_for_the_same(
    one: list[str], other: list[str]
) -> None:
    a, b = " ".join(one), " ".join(other)
    assert 0 <= alike(a, b) <= 1 and alike(a, b) == alike(b, a)
    assert alike(a, a) == (1.0 if a else 0.0)


@given(WORDS, WORDS)
@settings(max_examples=200)
def test_it_is_exact_for_texts_that_have_few_pairs_together(
    one: list[str], other: list[str]
) -> None:
    a, b = pairs_of(" ".join(one)), pairs_of(" ".join(other))
    if a and b and len(a | b) <= SKETCH:
        assert likeness(sketch_of(a), sketch_of(b)) == len(a & b) / len(a | b)


@given(st.text(max_size=300))
@settings(max_examples=200)
def test_any_text_has_a_sketch_of_a_bounded_size(text: str) -> None:
    found = sketch_of(pairs_of(text))
    assert len(found) <= SKETCH and all(0 < it < 2**32 for it in found)


def test_an_estimate_of_long_texts_is_near_the_truth() -> None:
    wrong = []
    for seed in range(40):
        words = [f"w{seed}x{number}" for number in range(300)]
        changed = [f"{it}!" if number % 20 else f"new{it}" for number, it in enumerate(words)]
        a, b = pairs_of(" ".join(words)), pairs_of(" ".join(changed))
        wrong.append(likeness(sketch_of(a), sketch_of(b)) - len(a & b) / len(a | b))
    assert abs(sum(wrong) / len(wrong)) < 0.05
    assert max(map(abs, wrong)) < 0.4


def test_order_counts_and_signs_do_not() -> None:
    assert alike("Dollar up, euro down", "dollar UP: euro down…") == 1
    assert alike("dollar up euro down", "euro up dollar down") < 0.5
    assert alike("hello", "Hello!") == 1 and alike("👍", "👍") == 0


@pytest.mark.parametrize(
    ("text", "stored", "wanted"),
    [
        ("6h", 21_600, Dedupe(21_600)),
        ("{window: 1h, near: 0.9}", {"window": 3_600, "near": 0.9}, Dedupe(3_600, 0.9)),
        ("{window: 1h, near: 1}", {"window": 3_600, "near": 1.0}, Dedupe(3_600, 1.0)),
    ],
)
def test_the_option_is_read_and_written_back(text: str, stored: Any, wanted: Dedupe) -> None:
    [rule] = parse(FILE.format(text).encode(), "rules.yaml")
    assert rule.options == {"dedupe": stored}
    assert compile_options(rule.options).dedupe == wanted
    assert parse("".join(dump([rule])).encode(), "again.yaml") == [rule]
    assert checked_options(shown_options(rule.options), "json") == rule.options
    assert checked_options(rule.options, "json") == rule.options
    assert sentences(rule.options)


@pytest.mark.parametrize(
    "text",
    [
        "true",
        "{}",
        "{near: 0.9}",
        "{window: 1h}",
        "{window: 1h, near: 0.4}",
        "{window: 1h, near: 2}",
        "{window: 1h, near: x}",
        "{window: 1s, near: 0.9}",
        "[1h]",
    ],
)
def test_what_is_none_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(InputFileError, match=r"options\.dedupe"):
        parse(FILE.format(text).encode(), "rules.yaml")


@pytest.mark.parametrize(
    "value",
    [-1, "x", True, {}, {"near": 0.9}, {"window": 0, "near": 0.9}, {"window": 9, "near": 9}],
)
def test_a_node_refuses_what_it_does_not_understand(value: Any) -> None:
    with pytest.raises(ValueError):
        compile_dedupe(value)
