"""What kept messages back elsewhere, and cannot here, makes a rule that is not enabled."""

from __future__ import annotations

import json
from typing import Any

import pytest

from afx.errors import InputFileError
from afx.forwarding.foreign import drafts
from afx.forwarding.foreign.parts import Effect
from afx.forwarding.foreign.reading import Imported, read
from afx.forwarding.rule_docs import RuleDoc


def telemirror(text: str) -> Imported:
    return read(text.encode(), "mirror.config.yml", "main")


def filters(text: str) -> Imported:
    return telemirror(f"directions: [{{from: [-1001], to: [-1002]}}]\nfilters:\n{text}")


def plugins(**plugins: Any) -> Imported:
    document = {
        "forwards": [{"con_name": "news", "source": "@the_news", "dest": [-1001234567890]}],
        "plugins": {key: {"check": True, **it} for key, it in plugins.items()},
    }
    return read(json.dumps(document).encode(), "tgcf.config.json", "main")


def only(imported: Imported) -> RuleDoc:
    [rule] = imported.rules
    return rule


def told(imported: Imported, effect: Effect) -> str:
    return "\n".join(f"{it.field}: {it.message}" for it in imported.notes if it.effect is effect)


@pytest.mark.parametrize(
    "text",
    [
        "- AllowWithKeywordsFilter",
        "- AllowWithKeywordsFilter: {keywords: []}",
        '- AllowWithKeywordsFilter: {keywords: [""]}',
        "- AllowWithKeywordsFilter: {keyword: [sale]}",
        "- SkipWithKeywordsFilter: {words: [spam]}",
        "- SkipUrlFilter: {skip_mentions: false}",
        "- UrlMessageFilter\n- SkipUrlFilter",
        "- KeywordReplaceFilter: {keywords: {x: y}}\n- SkipWithKeywordsFilter: {keywords: [y]}",
    ],
)
def test_a_filter_that_would_let_more_pass_here_disables_the_rule(text: str) -> None:
    imported = filters(text)
    assert not only(imported).enabled
    assert told(imported, Effect.DISABLED)


def test_a_condition_before_the_changes_of_texts_means_the_same() -> None:
    imported = filters("- SkipUrlFilter\n- KeywordReplaceFilter: {keywords: {x: y}}")
    assert only(imported).enabled


def test_unknown_keys_of_a_direction_disable_its_rule() -> None:
    imported = telemirror(
        "directions:\n- {from: [-1], to: [-2], filter: [SkipAllFilter]}\n- {from: [-3], to: [-4]}"
    )
    assert [it.enabled for it in imported.rules] == [False, True]
    imported = telemirror("filter: [SkipAllFilter]\ndirections: [{from: [-1], to: [-2]}]")
    assert not only(imported).enabled


@pytest.mark.parametrize(
    "filter_",
    [
        {"text": {"white_list": ["x"]}},
        {"text": {"whitelist": ["x"], "case_sensitve": True}},
        {"users": {"white_list": [1]}},
        {"file": {"whitelist": ["photo"]}},
    ],
)
def test_unknown_keys_of_a_filter_of_tgcf_disable_the_rules(filter_: Any) -> None:
    imported = plugins(filter=filter_)
    assert not only(imported).enabled
    assert "not known" in told(imported, Effect.DISABLED)


def test_a_generated_name_is_of_the_chats_and_not_of_the_place_in_the_file() -> None:
    one, two = "{from: [-1], to: [-2]}", "{from: [-1], to: [-3]}"
    names = [
        [it.name for it in telemirror(f"directions: [{text}]").rules]
        for text in (one, two, f"{two}, {one}")
    ]
    assert names[2] == names[1] + names[0]
    assert names[0] != names[1]
    twice = [it.name for it in telemirror(f"directions: [{one}, {one}]").rules]
    assert twice == [*names[0], f"{names[0][0]} 2"]


def test_a_text_that_is_longer_than_any_message_is_refused_before_it_is_searched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searched: list[int] = []

    class Searching:
        def sub(self, _: Any, text: str) -> str:
            searched.append(len(text))
            return text

    for name in ("_MARKED", "_MARKED_LINK"):
        monkeypatch.setattr(drafts, name, Searching())
    for text in ("[x]( ** __ ~~ " * 60_000, "*a*" * 2_000):
        with pytest.raises(InputFileError):
            plugins(caption={"header": text})
        assert max(searched, default=0) < 5_000


@pytest.mark.parametrize(
    ("keyword", "pattern"), [("cat", r"\bcat\b"), ("@acme", r"@acme\b"), ("C++", r"\bC\+\+")]
)
def test_a_keyword_that_ends_in_a_sign_is_replaced(keyword: str, pattern: str) -> None:
    imported = filters(f'- KeywordReplaceFilter: {{keywords: {{"{keyword}": "x"}}}}')
    [step] = only(imported).transform
    assert step["regex"]["pattern"].endswith(pattern)


@pytest.mark.parametrize(
    ("style", "made"), [("bold", "bold"), ("italics", "italic"), ("code", "code")]
)
def test_a_style_of_tgcf_is_one_here(style: str, made: str) -> None:
    assert only(plugins(fmt={"style": style})).transform == ({"style": [made]},)


def test_a_format_of_telemirror_keeps_its_link_where_the_chat_s_name_is_known() -> None:
    rule = only(
        telemirror(
            "directions:\n- from: [-1]\n  to: [-2]\n  filters:\n"
            "  - MappedNameForwardFormat: {mapped: {'-1': News}}"
        )
    )
    assert rule.transform == ({"text": {"markdown": "{text}\n\nForwarded from [News]({link})"}},)
