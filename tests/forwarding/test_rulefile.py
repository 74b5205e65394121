"""Rule files: either rules, or all errors of the file, each with its line."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from afx.errors import FileProblem, InputFileError, UsageError
from afx.forwarding.rule_docs import RuleDoc, diff, dump
from afx.forwarding.rulefile import parse
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
invites = st.from_regex(r"\A\+[A-Za-z0-9_-]{10,40}\Z").filter(lambda it: not it[1:].isdecimal())
chats = (
    st.from_regex(r"@[a-z][a-z0-9_]{3,20}", fullmatch=True)
    | st.integers(-(10**17), 10**17).filter(bool).map(str)
    | invites
)
filters = st.sampled_from(
    [
        {},
        {"contains": ["naïve 😀", "true", "2024"]},
        {"any": [{"media": ["photo"]}, {"not": {"regex": ["(?i)^a\\s+#"]}}], "reply": True},
        {"all": [{"sender": [-1001234567890, 5]}, {"size": {"max": 10485760}}]},
        {"time": {"hours": ["08:00-18:00"], "weekdays": ["mon"], "zone": "UTC"}},
    ]
)
transforms = st.sampled_from(
    [
        (),
        ({"replace": {"text": ["old", "yes"], "with": ""}}, {"truncate": 9}),
        ({"header": "# {date}: 'x'\n  "}, {"strip": ["links"]}),
        ({"rewrite_links": {"old.example": "new.example"}},),
    ]
)
syncs = st.lists(st.sampled_from(["deletes", "pins"]), unique=True).map(tuple)
options = st.sampled_from(
    [
        {},
        {"dedupe": 90},
        {"dedupe": 86_400, "delay": 1, "auto_delete": 7_200},
        {"caps": {"per_hour": 5, "per_day": 50, "zone": "Asia/Kolkata"}},
        {"plugins": [{"name": "a", "settings": {"to": "5"}, "timeout": 9, "on_error": "dead"}]},
        {"plugins": [{"name": "a", "files": 20_971_520, "memory": 1 << 30}]},
        {"quiet_hours": {"hours": ["22:00-06:00", "12:00-13:00"], "zone": "Europe/Berlin"}},
    ]
)
some = st.lists(chats, min_size=1, max_size=3, unique=True).map(tuple)
docs = st.lists(
    st.builds(
        RuleDoc,
        names,
        names,
        some,
        some,
        st.sampled_from(["copy", "forward"]),
        st.booleans(),
        filters,
        st.just(()),
        syncs,
        options,
    ).flatmap(
        lambda it: (
            st.just(it)
            if it.mode == "forward"
            else transforms.map(lambda made: replace(it, transform=made, sync=(*it.sync, "edits")))
        )
    ),
    max_size=5,
    unique_by=lambda it: it.path,
)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("sync: edit", "'edit' is none of edits, deletes, pins"),
        ("sync: []", "this is an empty list"),
        ("sync: {edits: true}", "'this' is none of"),
        ("sync: edits, mode: forward", "following edits needs the mode copy"),
    ],
)
def test_what_cannot_be_followed_is_told_with_its_line(fields: str, message: str) -> None:
    text = f"rules:\n- {{session: m, name: n, from: -5, to: -6,\n   {fields}}}\n"
    [found] = problems(text, "r.yaml")
    assert (found.line, found.field) == (3, "sync")
    assert message in found.message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{plugins: {name: a, memory: 1 GiB}}", "give 'files' too"),
        ("{plugins: {name: a, files: 0}}", "this is not from 1 to"),
        ("{plugins: {name: a, files: 1 MiB}, senders: b}", "exclude each other"),
        ("{dedupe: often}", "this is not a time span, such as 90s, 10m, 6h or 2d"),
        ("{dedupe: 59s}", "this is not from 1m to 7d"),
        ("{dedupe: 8d}", "this is not from 1m to 7d"),
        ("{dedup: 1h}", "'dedup' is not known"),
        ("{delay: 8d}", "this is not from 1s to 7d"),
        ("{auto_delete: 31d}", "this is not from 1s to 30d"),
        ("{quiet_hours: {zone: UTC}}", "there is no 'hours'"),
        ("{review: true, reread: 5m}", "exclude each other"),
        ("{protected: copy}", "is none of skip, reupload"),
        ("{protected: reupload, senders: [a, b]}", "exclude each other"),
        ("{quiet_hours: {hours: '8-9'}}", "write hours as 08:00-18:30"),
        ("{quiet_hours: {hours: '08:00-09:00', zone: Mars}}", "there is no such time zone"),
        ("{quiet_hours: {hours: '09:00-09:00'}}", "this is the whole day"),
        ("{caps: {zone: UTC}}", "there is neither 'per_hour' nor 'per_day'"),
        ("{caps: {per_hour: 0}}", "this is not from 1 to 1000000"),
        ("{caps: {per_hour: 9, per_day: 8}}", "'per_hour' is more than 'per_day'"),
        ("{plugins: {timeout: 5s}}", "there is no 'name'"),
        ("{plugins: [{name: a, timeout: 61s}]}", "this is not from 1s to 1m"),
        ("{plugins: [{name: a, on_error: stop}]}", "is none of pass, drop, dead"),
        ("{}", "this has fields: dedupe"),
        ("[dedupe]", "this has fields: dedupe"),
    ],
)
def test_what_is_no_option_is_told_with_its_line(value: str, message: str) -> None:
    text = f"rules:\n- {{session: m, name: n, from: -5, to: -6,\n   options: {value}}}\n"
    [found] = problems(text, "r.yaml")
    assert found.line == 3 and found.field and found.field.startswith("options")
    assert message in found.message


@pytest.mark.parametrize(
    ("text", "seconds"), [("60", 60), ("90s", 90), ("10 M", 600), ("6h", 21_600), ("2d", 172_800)]
)
def test_a_time_span_is_in_the_largest_unit_that_it_is_whole_in(text: str, seconds: int) -> None:
    [doc] = parse(
        f"rules: [{{session: m, name: n, from: -5, to: -6, options: {{dedupe: {text}}}}}]".encode(),
        "r.yaml",
    )
    assert doc.options == {"dedupe": seconds}
    shown = "1m" if text == "60" else text.replace(" ", "").lower()
    assert f"dedupe: {shown}" in "".join(dump([doc]))


def problems(text: str, where: str) -> tuple[FileProblem, ...]:
    with pytest.raises(InputFileError) as raised:
        parse(text.encode(), where)
    return raised.value.problems


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
    wanted: list[RuleDoc], current: list[RuleDoc], prune: bool
) -> None:
    after = {it.path: it for it in current}
    for it in diff(wanted, current, prune=prune):
        assert it.before == after.get(it.path)
        if it.after is None:
            del after[it.path]
        else:
            after[it.path] = it.after
    expected = {} if prune else {it.path: it for it in current}
    assert after == expected | {it.path: it for it in wanted}
    assert diff(list(after.values()), after.values(), prune=True) == []


@given(
    st.binary(max_size=300) | st.text(max_size=300).map(str.encode),
    st.sampled_from(["a", "a.toml"]),
)
def test_any_bytes_give_rules_or_errors_that_can_be_printed(data: bytes, where: str) -> None:
    try:
        parse(data, where)
    except InputFileError as error:
        assert where in str(error)
        assert all(it.isprintable() for it in str(error).splitlines())


@given(st.text(max_size=60))
def test_a_chat_is_a_name_or_an_id_and_nothing_else(text: str) -> None:
    try:
        chat = chat_reference(text)
    except UsageError as error:
        assert str(error).isprintable()
    else:
        assert chat.isascii() and chat_reference(chat) == chat


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
            "true nor false",
        ),
        ("rules:\n  - &a {session: a}\n  - *a\n", 3, "aliases"),
        ("rules:\n  - just text\n", 2, "a rule has fields"),
        ("rules: text\n", 1, "not a list"),
        ("rule:\n  - x\n", 1, "no 'rules:'"),
        ("rules: []\nmore: 1\n", 2, "'more' is not known"),
        ("rules: []\n---\nrules: []\n", 2, "a second"),
        ("rules: [\n", 2, "not valid YAML"),
        ("a: 1\na: 2\n", 2, "there twice"),
        ("a:\n\tb: 1\n", 2, "tabs"),
        ("a: 1\nb: \x01\n", 2, "U+0001"),
        ("[" * 50, 1, "too deeply"),
        ("[" * 5000, 1, "too deeply"),
        ("- " * 5000, 1, "too deeply"),
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
def test_an_error_has_its_line(text: str, line: int, words: str) -> None:
    found = problems(text, "rules.yaml")
    assert any(it.line == line and words in it.message for it in found), found


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (TOML + "\n[[rules]]\nsession='a'\nname='b'\nfrom=1\nto='@abcd'\nx=1", 15, "not known"),
        (".".join(["a"] * 200_000) + " = 1", 1, "nested too deeply"),
        ("rules = " + "[" * 3000 + "]" * 3000, None, "nested too deeply"),
        ("rules = " + "[" * 25 + "]" * 25, 1, "nested too deeply"),
        ("", 1, "no 'rules:'"),
    ],
)
def test_an_error_in_toml_has_its_line(text: str, line: int | None, words: str) -> None:
    found = problems(text, "rules.toml")
    assert any(it.line == line and words in it.message for it in found), found


def test_all_errors_of_a_file_are_found_at_once() -> None:
    text = """\
rules:
  - {session: a, name: b, from: '@x', to: ['@abcd', '@y'], mode: move}
  - {session: a, name: c, from: '@abcd'}
  - &it {session: a, name: d, from: '@abcd', to: '@abcd'}
  - *it
  - {session: a, name: d, from: '@abcd', to: '@abcd', enabled: maybe, colour: red}
more: 1
"""
    found = [(it.line, it.field) for it in problems(text, "rules.yaml")]
    assert found == [
        (2, "from"),
        (2, "to"),
        (2, "mode"),
        (3, None),
        (5, None),
        (6, None),
        (6, "enabled"),
        (7, None),
    ]


def test_the_message_counts_the_errors_and_gives_each_a_line() -> None:
    with pytest.raises(InputFileError) as raised:
        parse(b"rules:\n- {session: a, name: b, from: '@x'}\n- 1\n", "rules.yaml")
    first, *rest = str(raised.value).splitlines()
    assert first == "3 errors in rules.yaml; nothing was changed."
    assert [it.partition(": ")[0] for it in rest] == [
        "  rules.yaml, line 2",
        "  rules.yaml, line 2, field 'from'",
        "  rules.yaml, line 3",
    ]


def test_a_long_list_of_errors_is_cut() -> None:
    with pytest.raises(InputFileError) as raised:
        parse(b"rules:\n" + b"- 1\n" * 1000, "rules.yaml")
    assert str(raised.value).startswith("1000 errors ")
    assert str(raised.value).endswith("… and 900 more.")
    assert len(raised.value.problems) == 1000


@pytest.mark.parametrize(
    "error",
    [yaml.YAMLError("words of theirs"), yaml.MarkedYAMLError(problem="words of theirs")],
)
def test_no_words_of_the_yaml_library_reach_a_person(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def parse_nothing(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(yaml, "parse", parse_nothing)
    (problem,) = problems("rules: []", "rules.yaml")
    assert problem == FileProblem("this is not valid YAML")


@pytest.mark.parametrize(
    ("words", "line", "column"),
    [("of theirs (at line 7, column 3)", 7, 3), ("of theirs", None, None)],
)
def test_of_a_toml_error_only_the_position_is_taken(
    monkeypatch: pytest.MonkeyPatch, words: str, line: int | None, column: int | None
) -> None:
    def load_nothing(_: str) -> None:
        raise tomllib.TOMLDecodeError(words)

    monkeypatch.setattr(tomllib, "loads", load_nothing)
    (problem,) = problems("rules = ", "rules.toml")
    assert (problem.line, problem.column) == (line, column)
    assert problem.message.startswith("this is not valid TOML; ")


def test_an_empty_file_a_huge_one_and_another_encoding_are_refused() -> None:
    assert "is empty" in problems("", "r.yaml")[0].message
    with pytest.raises(InputFileError, match="4 MiB"):
        parse(b" " * (4 * 1024 * 1024 + 1), "r.yaml")
    with pytest.raises(InputFileError, match="line 2: this is not UTF-8"):
        parse(b"rules:\n\xff", "r.yaml")


def test_a_file_of_a_megabyte_is_read() -> None:
    rules = [RuleDoc("main", f"rule {n}", ("@the_news",), ("@copies",)) for n in range(10_000)]
    data = "".join(dump(rules)).encode()
    assert len(data) > 1_000_000
    assert parse(data, "r.yaml") == rules


@pytest.mark.parametrize(
    "text",
    [
        "https://t.me/+AbCd_efgh-12",
        "t.me/joinchat/AbCd_efgh-12/",
        "tg://join?invite=AbCd_efgh-12",
        " +AbCd_efgh-12 ",
    ],
)
def test_an_invite_link_is_stored_by_its_hash_as_it_is_written(text: str) -> None:
    assert chat_reference(text) == "+AbCd_efgh-12"


@pytest.mark.parametrize("text", ["+15551234567", "t.me/+15551234567", "+short", "+a b c d e f g"])
def test_a_phone_number_is_no_invite_link(text: str) -> None:
    with pytest.raises(UsageError, match="names no chat"):
        chat_reference(text)
