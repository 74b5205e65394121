"""Files of other forwarders: what they mean as rules, what is told, and what is refused."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from afx.errors import InputFileError
from afx.forwarding.conditions import compile_filter
from afx.forwarding.facts import Facts
from afx.forwarding.foreign.documents import LARGEST_BYTES
from afx.forwarding.foreign.drafts import MOST_RULES
from afx.forwarding.foreign.parts import Effect
from afx.forwarding.foreign.reading import Imported, Origin, read
from afx.forwarding.rule_docs import RuleDoc, dump
from afx.forwarding.rulefile import parse
from afx.forwarding.transforms import compile_transform

FORWARDS = [{"con_name": "news", "source": "@the_news", "dest": [-1001234567890]}]
SECRET = "1BVtsOK8Bu-secret"


def tgcf(**settings: Any) -> Imported:
    document = {"forwards": FORWARDS, **settings}
    return read(json.dumps(document).encode(), "tgcf.config.json", "main")


def plugins(**plugins: Any) -> Imported:
    return tgcf(plugins={key: {"check": True, **it} for key, it in plugins.items()})


def telemirror(text: str) -> Imported:
    return read(text.encode(), "mirror.config.yml", "main")


def filters(text: str) -> Imported:
    return telemirror(f"directions: [{{from: [-1001], to: [-1002]}}]\nfilters:\n{text}")


def only(imported: Imported) -> RuleDoc:
    [rule] = imported.rules
    return rule


def passes(rule: RuleDoc, text: str, **fields: Any) -> bool:
    facts = Facts(text, chat=-1001, id=1)
    for name, it in fields.items():
        setattr(facts, name, it)
    return compile_filter(rule.filter).test(facts) if rule.filter else True


def copy_of(rule: RuleDoc, text: str) -> str:
    made = compile_transform(rule.transform).apply(Facts(chat=-1001, id=1, text=text))
    return text if made is None else made.text


def errors(data: bytes, origin: Origin | None = None) -> str:
    with pytest.raises(InputFileError) as caught:
        read(data, "file", "main", origin)
    return str(caught.value)


def told(imported: Imported, effect: Effect) -> str:
    return "\n".join(f"{it.field}: {it.message}" for it in imported.notes if it.effect is effect)


def test_a_forward_of_tgcf_becomes_a_rule_that_follows_edits() -> None:
    rule = only(tgcf())
    assert rule == RuleDoc("main", "news", ("@the_news",), ("-1001234567890",), sync=("edits",))


def test_forwards_that_show_their_author_follow_no_edits_but_deletes() -> None:
    rule = only(tgcf(show_forwarded_from=True, live={"delete_sync": True}))
    assert (rule.mode, rule.sync) == ("forward", ("deletes",))


def test_each_rule_has_a_name_of_its_own() -> None:
    names = ["", "news", "news", "-1", "\x1b[31m"]
    imported = tgcf(forwards=[{**FORWARDS[0], "con_name": it} for it in names])
    [made, *names, numbered, odd] = [it.name for it in imported.rules]
    assert (names, numbered, odd) == (["news", "news 2"], f"{made} 1", "[31m")
    assert made.startswith("tgcf-")


@pytest.mark.parametrize(
    ("source", "chat"),
    [
        (-1001234567890, "-1001234567890"),
        ("the_news", "@the_news"),
        ("me", "me"),
        ("https://t.me/the_news", "@the_news"),
        ("https://t.me/c/1234567890/17", "-1001234567890"),
        ("https://t.me/joinchat/AbCdEfGhIj", "+AbCdEfGhIj"),
    ],
)
def test_chats_are_named_as_rules_name_them(source: Any, chat: str) -> None:
    assert only(tgcf(forwards=[{**FORWARDS[0], "source": source}])).sources == (chat,)


@pytest.mark.parametrize("source", ["+15551234567", "https://t.me/+AbCdEf", "", 0])
def test_an_entry_without_a_usable_source_is_left_out_and_told(source: Any) -> None:
    imported = tgcf(forwards=[*FORWARDS, {**FORWARDS[0], "con_name": "other", "source": source}])
    assert [it.name for it in imported.rules] == ["news"]
    assert "forwards[1]" in told(imported, Effect.LEFT_OUT)


def test_a_file_of_which_no_rule_can_be_made_says_why() -> None:
    data = json.dumps({"forwards": [{"source": "+15551234567", "dest": []}]}).encode()
    assert "was left out" in errors(data)
    assert "no destination" in errors(data)


def test_lists_of_texts_users_and_files_become_conditions() -> None:
    rule = only(
        plugins(
            filter={
                "text": {"whitelist": ["Sale", "Offer"], "blacklist": ["casino"]},
                "users": {"blacklist": ["666"]},
                "files": {"whitelist": ["photo", "nofile"]},
            }
        )
    )
    assert rule.enabled
    assert passes(rule, "big SALE")
    assert not passes(rule, "nothing")
    assert not passes(rule, "sale at the Casino")
    assert not passes(rule, "sale", sender=666)
    assert not passes(rule, "sale", media="voice")


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ({"whitelist": ["a.b"], "case_sensitive": True}, "x a.b y", "A.B or axb"),
        ({"whitelist": [r"^\d+ usd"], "regex": True}, "12 USD", "about 12 usd"),
        ({"whitelist": ["[A-Z]{3}"], "regex": True, "case_sensitive": True}, "ABC", "abc"),
    ],
)
def test_patterns_and_case_mean_what_they_meant(text: Any, yes: str, no: str) -> None:
    rule = only(plugins(filter={"text": text}))
    assert passes(rule, yes)
    assert not passes(rule, no)


def test_more_patterns_than_one_condition_takes_are_carried_over() -> None:
    words = [f"word{it}" for it in range(45)]
    rule = only(plugins(filter={"text": {"blacklist": words, "regex": True}}))
    assert not passes(rule, "word44")
    assert passes(rule, "another")


def test_a_pattern_that_could_freeze_a_node_disables_the_rule_and_is_told() -> None:
    imported = plugins(filter={"text": {"blacklist": ["(?=a)b", "fine"], "regex": True}})
    assert not only(imported).enabled
    assert not passes(only(imported), "fine")
    assert "look-around" in told(imported, Effect.DISABLED)


def test_texts_are_replaced_in_order_and_framed() -> None:
    rule = only(
        plugins(
            fmt={"style": "plain"},
            replace={"text": {"Acme": "Emca", "Emca": "Best {x}"}},
            caption={"header": "**From** [us](https://example.org)\n", "footer": " {end}"},
        )
    )
    assert copy_of(rule, "Acme") == "From us\nBest {x} {end}"
    assert rule.transform[-1] == {
        "text": {"markdown": "**From** [us](https://example.org)\n{text} {{end}}"}
    }


def test_replacements_of_patterns_keep_their_groups() -> None:
    rule = only(plugins(replace={"regex": True, "text": {r"(\d+) (USD)": r"\2\n\g<1>\\"}}))
    assert copy_of(rule, "5 USD") == "USD\n5\\"


@pytest.mark.parametrize("plugin", ["mark", "ocr", "sender"])
def test_what_has_no_counterpart_disables_the_rules(plugin: str) -> None:
    imported = plugins(**{plugin: {}})
    assert not only(imported).enabled
    assert f"plugins.{plugin}" in told(imported, Effect.DISABLED)


def test_a_past_mode_disables_the_rules_and_names_the_task() -> None:
    imported = tgcf(mode=1)
    assert not only(imported).enabled
    assert "chat.backfill" in told(imported, Effect.DISABLED)


def test_plugins_that_are_off_change_nothing() -> None:
    imported = tgcf(
        plugins={"mark": {"check": False, "image": "x"}, "replace": {"text": {"a": "b"}}}
    )
    assert (only(imported).transform, only(imported).enabled, imported.notes) == ((), True, ())


def test_no_secret_of_a_file_is_shown() -> None:
    login = {"SESSION_STRING": SECRET, "BOT_TOKEN": SECRET, "API_HASH": SECRET}
    imported = tgcf(login=login)
    assert "session import" in told(imported, Effect.NONE)
    assert SECRET not in repr(imported)
    env = f"SESSION_STRING={SECRET}\nCHAT_MAPPING=-1:-2\nDISABLE_EDIT={SECRET}"
    assert SECRET not in errors(env.encode())


def test_directions_of_telemirror_become_rules() -> None:
    imported = telemirror(
        "disable_delete: true\ndirections:\n"
        "  - from: [-1001, -1002]\n    to: [-1003]\n"
        "  - {from: [-1004], to: [-1005], disable_edit: true, disable_delete: false}\n"
        "  - {from: [-1006], to: [-1007], mode: forward}\n"
    )
    assert [(it.sources, it.destinations, it.mode, it.sync) for it in imported.rules] == [
        (("-1001", "-1002"), ("-1003",), "copy", ("edits",)),
        (("-1004",), ("-1005",), "copy", ("deletes",)),
        (("-1006",), ("-1007",), "forward", ()),
    ]
    assert imported.origin == "telemirror"


def test_topics_are_kept() -> None:
    imported = telemirror("directions: [{from: [-1001#3, -1002], to: [-1003#7]}]")
    assert only(imported).sources == ("-1001/3", "-1002")
    assert only(imported).destinations == ("-1003/7",)


def test_the_chat_mapping_of_an_env_file_becomes_rules() -> None:
    text = (
        "API_ID=1\nCHAT_MAPPING=[-1001,-1002:-1003];[-1004:-1005,-1006];\n"
        "REMOVE_URLS=true\nDISABLE_DELETE=TRUE\n"
    )
    imported = read(text.encode(), ".env", "main")
    assert [(it.sources, it.destinations) for it in imported.rules] == [
        (("-1001", "-1002"), ("-1003",)),
        (("-1004",), ("-1005", "-1006")),
    ]
    assert {it.sync for it in imported.rules} == {("edits",)}
    assert list(imported.rules[0].transform) == [{"strip": ["links"]}]


def test_yaml_in_an_env_variable_is_read() -> None:
    text = r'YAML_CONFIG_ENV="directions:\n  - from: [-1001]\n    to: [-1002]"'
    assert only(read(text.encode(), ".env", "main")).sources == ("-1001",)


def test_keywords_skip_and_allow_whole_words_and_patterns() -> None:
    skips = only(filters("- SkipWithKeywordsFilter: {keywords: !!set {? Стоп, ? \"r'ba+d'\"}}"))
    assert passes(skips, "стопка")
    assert not passes(skips, "это СТОП")
    assert not passes(skips, "so baaaad")
    allows = only(filters("- AllowWithKeywordsFilter: {keywords: [sale]}"))
    assert passes(allows, "Sale!")
    assert not passes(allows, "wholesale")


def test_keywords_are_replaced_as_words() -> None:
    rule = only(
        filters("- KeywordReplaceFilter: {keywords: {google.com: bing.com, \"r'x(.)'\": '<\\1>'}}")
    )
    assert copy_of(rule, "Google.com googlescom xy") == "bing.com googlescom <y>"
    imported = filters("- KeywordReplaceFilter: {keywords: {слово: дело}}")
    assert copy_of(only(imported), "Слово") == "дело"
    assert "longer words" in told(imported, Effect.NONE)


def test_links_are_skipped_or_removed() -> None:
    rule = only(filters("- SkipUrlFilter"))
    assert rule.filter == {"not": {"any": [{"links": True}, {"mentions": True}]}}
    stripped = only(filters("- UrlMessageFilter: {filter_mention: true}"))
    assert list(stripped.transform) == [{"strip": ["links", "mentions"]}]
    listed = filters("- UrlMessageFilter: {blacklist: !!set {? t.me}}")
    assert not only(listed).enabled
    assert "rewrite_links" in told(listed, Effect.DISABLED)


def test_a_format_becomes_a_template_and_lost_fields_are_told() -> None:
    imported = filters("- ForwardFormatFilter")
    assert only(imported).transform == ({"text": "{text}\n\nForwarded from {link}"},)
    imported = filters('- ForwardFormatFilter: {format: "{sender_title}: {message_text}"}')
    assert "sender_title" in told(imported, Effect.NONE)
    named = filters(
        "- MappedNameForwardFormat:\n"
        '    {mapped: {-1001: "A {b}"}, format: "{channel_name}: {message_text}"}'
    )
    assert only(named).transform == ({"text": "A {{b}}: {text}"},)


def test_a_direction_without_filters_of_its_own_has_the_global_ones() -> None:
    text = "filters: [SkipUrlFilter]\ndirections: [{from: [-1], to: [-2], filters: []}]"
    assert only(telemirror(text)).filter


def test_filters_that_are_not_known_disable_the_rule() -> None:
    for name in ("MyOwnFilter", "SkipAllFilter"):
        imported = filters(f"- {name}: {{a: 1}}")
        assert not only(imported).enabled
        assert name in told(imported, Effect.DISABLED)


def test_all_errors_of_a_file_are_told_at_once_with_their_places() -> None:
    document = {
        "forwards": [{"source": True, "dest": "x", "use_this": "no"}],
        "mode": "past",
        "live": [],
        "plugins": {"filter": {"check": True, "files": {"blacklist": ["gifs"]}}},
    }
    message = errors(json.dumps(document).encode())
    for it in ("forwards[0].source", "forwards[0].dest", "forwards[0].use_this", "mode", "live"):
        assert f"field '{it}'" in message
    assert "files.blacklist[0]" in message
    text = "directions:\n  - from: [-1]\n    to: [-2]\n    mode: move\ndisable_edit: 7\n"
    assert "line 4, field 'directions[0].mode'" in errors(text.encode())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b'{"forwards":' + b"[" * 500 + b"]" * 500 + b"}", "nested too deeply"),
        (b'{"forwards": [], "forwards": []}', "twice"),
        (b'{"forwards": ["\\ud800"]}', "characters that no message has"),
        (b'{"forwards": [{"source": ' + b"9" * 10_000 + b"}]}", "left out"),
        (b"{" + b" " * LARGEST_BYTES, "1 MiB"),
        (b"\xff\xfe", "UTF-8"),
        (b"", "neither"),
        (b"{}", "neither"),
        (b"a: 1", "neither"),
        (b"forwards: []", "tgcf before 1.0"),
        (b"directions: &a [*a]", "aliases"),
        (b"CHAT_MAPPING=" + b"1" * 100_000, "no mapping"),
        (b"CHAT_MAPPING=", "neither"),
        (b"directions: [!!python/object/apply:os.system [ls]]", "not a mapping"),
    ],
)
def test_hostile_files_are_refused(data: bytes, words: str) -> None:
    origin: Origin | None = "tgcf" if data.startswith(b"[") else None
    assert words in errors(data, origin)


def test_a_file_of_very_many_rules_is_refused() -> None:
    forwards = [{"source": -1, "dest": [-2]}] * (MOST_RULES + 1)
    assert "more than" in errors(json.dumps({"forwards": forwards}).encode())


def test_filters_that_many_rules_share_cost_little_or_are_refused() -> None:
    words = [str(it) for it in range(5_000)]
    begun = time.process_time()
    document = {
        "forwards": [{"source": -1, "dest": [-2]}] * 1_000,
        "plugins": {"filter": {"check": True, "text": {"blacklist": words}}},
    }
    assert "larger than a rule file may be" in errors(json.dumps(document).encode())
    directions = "- {from: [-1], to: [-2]}\n" * 1_000
    keywords = ", ".join(words)
    text = f"filters:\n- SkipWithKeywordsFilter: {{keywords: [{keywords}]}}\ndirections:\n"
    assert "too many entries" in errors((text + directions).encode())
    assert time.process_time() - begun < 30


values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def mixed(shape: Any) -> Any:
    """Return values that look like a shape, or like anything."""
    if isinstance(shape, dict):
        return (
            st.fixed_dictionaries({}, optional={key: mixed(it) for key, it in shape.items()})
            | values
        )
    if isinstance(shape, list):
        return st.lists(mixed(shape[0]), max_size=3) | values
    return st.sampled_from([shape, shape, shape]) | values


LISTS = {"blacklist": ["(a"], "whitelist": ["photo"], "regex": True, "case_sensitive": True}
TGCF = {
    "forwards": [
        {"con_name": "x", "use_this": True, "source": "@abcd", "dest": [-1001], "offset": 5}
    ],
    "show_forwarded_from": False,
    "mode": 1,
    "live": {"delete_sync": True, "delete_on_edit": "."},
    "past": {"delay": 3},
    "login": {"SESSION_STRING": "x"},
    "plugins": {
        "filter": {"check": True, "users": LISTS, "files": LISTS, "text": LISTS},
        "fmt": {"check": True, "style": "bold"},
        "replace": {"check": True, "regex": True, "text": {"(a)": "\\1"}},
        "caption": {"check": True, "header": "**a**{", "footer": "}"},
        "sender": {"check": True},
    },
}
KEYWORDS = {"keywords": {"a": "b", "r'a+'": "\\g<0>"}, "regex": True}
TELEMIRROR = {
    "filters": [{"KeywordReplaceFilter": KEYWORDS}],
    "mode": "copy",
    "disable_edit": True,
    "directions": [
        {
            "from": [-1001, "-5#3"],
            "to": ["@abcd"],
            "filters": [
                {"SkipWithKeywordsFilter": KEYWORDS, "UrlMessageFilter": {"blacklist": ["x"]}},
                {"ForwardFormatFilter": {"format": "{message_text} {sender_title!r:>9} **x**"}},
            ],
        }
    ],
}


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        mixed(TGCF).map(lambda it: ("tgcf", it)),
        mixed(TELEMIRROR).map(lambda it: ("telemirror", it)),
    )
)
def test_any_document_makes_valid_rules_or_a_list_of_errors(given_: tuple[Origin, Any]) -> None:
    origin, document = given_
    text = json.dumps(document) if origin == "tgcf" else yaml.safe_dump(document)
    try:
        imported = read(text.encode("utf-8", "surrogatepass"), "file", "main", origin)
    except InputFileError as error:
        assert str(error).isprintable() or "\n" in str(error)
        return
    assert parse("".join(dump(imported.rules)).encode(), "file") == list(imported.rules)


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=300)
    | st.text(max_size=300).map(lambda it: it.encode("utf-8", "surrogatepass"))
)
def test_any_bytes_are_refused_with_an_error(data: bytes) -> None:
    with pytest.raises(InputFileError):
        read(b"x" + data, "file", "main")
