"""Rule files: whatever is in them, either rules or one sentence with the line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afx.errors import UsageError
from afx.forwarding.rulefile import RuleDoc, diff, dump, parse
from afx.forwarding.rules import chat_reference

YAML = """\
rules:
  - session: main
    name: news
    from: "@the_news"
    to: [-1001234567890, t.me/copies]
  - {session: main, name: off, from: ['@abcd'], to: ['@efgh'], mode: forward, enabled: false}
"""
TOML = """\
[[rules]]
session = "main"
name = "news"
from = "@the_news"
to = [-1001234567890, "t.me/copies"]

[[rules]]
session = "main"
name = "off"
from = ["@abcd"]
to = ["@efgh"]
mode = "forward"
enabled = false
"""
WANTED = [
    RuleDoc("main", "news", ("@the_news",), ("-1001234567890", "@copies")),
    RuleDoc("main", "off", ("@abcd",), ("@efgh",), "forward", enabled=False),
]

names = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=20
).filter(str.isprintable)
chats = st.from_regex(r"@[a-z][a-z0-9_]{3,20}", fullmatch=True) | st.integers(
    -(10**17), 10**17
).filter(bool).map(str)
some = st.lists(chats, min_size=1, max_size=3, unique=True).map(tuple)
docs = st.lists(
    st.builds(
        RuleDoc, names, names, some, some, st.sampled_from(["copy", "forward"]), st.booleans()
    ),
    max_size=5,
    unique_by=lambda it: it.path,
)


def test_yaml_toml_and_json_say_the_same() -> None:
    assert parse(YAML.encode(), "r.yaml") == WANTED
    assert parse(TOML.encode(), "r.toml") == WANTED
    rules = [
        {
            "session": "main",
            "name": "news",
            "from": "@the_news",
            "to": [-1001234567890, "t.me/copies"],
        },
        {
            "session": "main",
            "name": "off",
            "from": ["@abcd"],
            "to": ["@efgh"],
            "mode": "forward",
            "enabled": False,
        },
    ]
    assert parse(json.dumps({"rules": rules}, indent=1).encode(), "r.json") == WANTED


@given(docs)
def test_what_is_written_is_read_back(rules: list[RuleDoc]) -> None:
    assert parse("".join(dump(rules)).encode(), "r.yaml") == rules


@given(docs, docs, st.booleans())
def test_a_diff_leads_from_one_set_to_the_other(
    wanted: list[RuleDoc], held: list[RuleDoc], prune: bool
) -> None:
    after = {it.path: it for it in held}
    for it in diff(wanted, held, prune=prune):
        assert it.before == after.get(it.path)
        if it.after is None:
            del after[it.path]
        else:
            after[it.path] = it.after
    expected = {} if prune else {it.path: it for it in held}
    assert after == expected | {it.path: it for it in wanted}
    assert diff(list(after.values()), after.values(), prune=True) == []


@given(
    st.binary(max_size=300) | st.text(max_size=300).map(str.encode),
    st.sampled_from(["a", "a.toml"]),
)
def test_no_bytes_break_the_parser(data: bytes, where: str) -> None:
    try:
        parse(data, where)
    except UsageError as error:
        assert where in str(error)
        assert str(error).isprintable()


@given(st.text(max_size=60))
def test_a_chat_is_a_name_or_an_id_and_nothing_else(text: str) -> None:
    try:
        held = chat_reference(text)
    except UsageError as error:
        assert str(error).isprintable()
    else:
        assert held.isascii() and chat_reference(held) == held


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("rules:\n  - session: a\n    nmae: b\n", 3, "'nmae' is not known"),
        ("rules:\n\n  - session: a\n    name: b\n    from: '@abcd'\n", 3, "no 'to'"),
        ("rules:\n  - {session: a, name: b, from: '@abcd',\n     to: '@x'}", 3, "names no chat"),
        ("rules:\n  - {session: a, name: b, from: [], to: '@abcd'}", 2, "names no chat"),
        ("rules:\n  - {session: a, name: b, from: '@abcd', to: {}}", 2, "a list of chats"),
        ("rules:\n  - {session: a, name: b, from: '@abcd', to: '@abcd',\n mode: x}", 3, "no mode"),
        (
            "rules:\n  - {session: a, name: b, from: '@abcd', to: '@abcd', enabled: 'true'}",
            2,
            "true or false",
        ),
        ("rules:\n  - &a {session: a}\n  - *a\n", 3, "aliases"),
        ("rules:\n  - just text\n", 2, "a rule has keys"),
        ("rules: text\n", 1, "not a list"),
        ("rule:\n  - x\n", 1, "no 'rules:'"),
        ("rules: []\nmore: 1\n", 2, "'more' is not known"),
        ("rules: []\n---\nrules: []\n", 2, "a second"),
        ("rules: [\n", 2, "no YAML"),
        ("a: 1\na: 2\n", 2, "there twice"),
        ("[" * 5000, 1, "too deeply"),
        (
            "rules:\n  - {session: \"a\\u001b[2J\", name: b, from: '@abcd', to: '@abcd'}",
            2,
            "cannot be printed",
        ),
        (
            "rules:\n- {session: a, name: b, from: '@abcd', to: '@abcd'}\n"
            "- {session: a, name: b, from: '@abcd', to: '@abcd'}\n",
            3,
            "already, in line 2",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, line: int, words: str) -> None:
    with pytest.raises(UsageError) as told:
        parse(text.encode(), "rules.yaml")
    assert f"rules.yaml, line {line}: " in str(told.value)
    assert words in str(told.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TOML + "\n[[rules]]\nnme = 'x'\n", "line 15: 'nme' is not known"),
        ("rules = \n", "no TOML"),
        ("rules = " + "[" * 3000 + "]" * 3000, "nested too deeply"),
        ("", "no 'rules:'"),
    ],
)
def test_a_mistake_in_toml_is_told_as_well(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse(text.encode(), "rules.toml")


def test_an_empty_file_and_a_huge_one_are_refused_in_words() -> None:
    with pytest.raises(UsageError, match="empty"):
        parse(b"", "r.yaml")
    with pytest.raises(UsageError, match="4 MiB"):
        parse(b" " * (4 * 1024 * 1024 + 1), "r.yaml")
    with pytest.raises(UsageError, match="line 2: that is no UTF-8"):
        parse(b"rules:\n\xff", "r.yaml")


def test_a_file_of_a_megabyte_is_read() -> None:
    rules = [RuleDoc("main", f"rule {n}", ("@the_news",), ("@copies",)) for n in range(10_000)]
    data = "".join(dump(rules)).encode()
    assert len(data) > 1_000_000
    assert parse(data, "r.yaml") == rules
