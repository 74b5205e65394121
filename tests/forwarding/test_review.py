"""The option ``review``: how it is written, and what it means."""

from __future__ import annotations

from typing import Any

import pytest

from afx.errors import InputFileError
from afx.forwarding.options import compile_options, sentences, shown_options
from afx.forwarding.review import EXPIRES
from afx.forwarding.rule_docs import dump
from afx.forwarding.rulefile import checked_options, parse

FILE = """rules:
  - session: main
    name: held
    from: "@the_news"
    to: "@my_copies"
    options: {{review: {}}}
"""


@pytest.mark.parametrize(
    ("text", "stored", "seconds"),
    [
        ("true", True, EXPIRES),
        ("false", False, 0),
        ("{expires: 2h}", {"expires": 7_200}, 7_200),
    ],
)
def test_it_is_read_and_written_back(text: str, stored: Any, seconds: int) -> None:
    [rule] = parse(FILE.format(text).encode(), "rules.yaml")
    assert rule.options == {"review": stored}
    assert compile_options(rule.options).review == seconds
    assert parse("".join(dump([rule])).encode(), "again.yaml") == [rule]
    assert checked_options(shown_options(rule.options), "json") == rule.options
    assert checked_options(rule.options, "json") == rule.options
    assert bool(sentences(rule.options)) == bool(seconds)


@pytest.mark.parametrize("text", ["yes", "3h", "{}", "{expires: 1s}", "{expires: 40d}", "{x: 1h}"])
def test_what_is_none_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(InputFileError, match=r"options\.review"):
        parse(FILE.format(text).encode(), "rules.yaml")


@pytest.mark.parametrize("value", [1, "x", {}, {"expires": 0}, {"expires": "7d"}, None, []])
def test_a_node_refuses_what_it_does_not_understand(value: Any) -> None:
    with pytest.raises(ValueError, match="review"):
        compile_options({"review": value})
