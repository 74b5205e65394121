"""The option ``alerts``: how it is written, and how large its patterns may be."""

from __future__ import annotations

from typing import Any

import pytest

from afx.errors import InputFileError
from afx.forwarding.alerts import PER_HOUR
from afx.forwarding.options import compile_options, sentences, shown_options
from afx.forwarding.rule_docs import dump
from afx.forwarding.rulefile import checked_options, parse, schema
from afx.forwarding.sizes import program_size

FILE = """rules:
  - session: main
    name: watched
    from: "@the_news"
    to: "@my_copies"
    options: {{alerts: {}}}
"""
WHEN = {"any": [{"words": ["acme"]}, {"regex": ["ac+me"]}]}


def test_it_is_read_and_written_back() -> None:
    text = "{when: {any: [{words: acme}, {regex: ac+me}]}, per_hour: 5}"
    [rule] = parse(FILE.format(text).encode(), "rules.yaml")
    assert rule.options == {"alerts": {"when": WHEN, "per_hour": 5}}
    assert parse("".join(dump([rule])).encode(), "again.yaml") == [rule]
    assert checked_options(shown_options(rule.options), "json") == rule.options
    alerts = compile_options(rule.options).alerts
    assert alerts is not None and alerts.per_hour == 5
    plain = compile_options({"alerts": {"when": WHEN}})
    assert plain.alerts is not None and plain.alerts.per_hour == PER_HOUR
    assert plain != compile_options(rule.options)
    said = "\n".join(sentences(rule.options))
    assert "5 in an hour" in said and "words: acme" in said


@pytest.mark.parametrize(
    "text",
    [
        "true",
        "{}",
        "{per_hour: 3}",
        "{when: {}}",
        "{when: {bad: 1}}",
        "{when: {words: a}, per_hour: 0}",
    ],
)
def test_what_is_none_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(InputFileError, match=r"options\.alerts"):
        parse(FILE.format(text).encode(), "rules.yaml")


@pytest.mark.parametrize("value", [1, {}, {"when": 1}, {"when": {}, "x": 1}, {"when": {"bad": 1}}])
def test_a_node_refuses_what_it_does_not_understand(value: Any) -> None:
    with pytest.raises((ValueError, LookupError)):
        compile_options({"alerts": value})


def test_its_patterns_count_as_those_of_filters_do() -> None:
    size = program_size({}, (), {"alerts": {"when": WHEN}})
    assert size == program_size(WHEN, ()) > 0


def test_the_schema_for_editors_has_it() -> None:
    assert '"per_hour"' in str(schema()).replace("'", '"')
