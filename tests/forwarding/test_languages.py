"""The language of messages: told, or unknown, and never wrong for what is no text."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afx.forwarding import languages
from afx.forwarding.conditions import compile_filter
from afx.forwarding.facts import Facts, Marked
from afx.forwarding.languages import LANGUAGES, UNKNOWN, language_of

pytest.importorskip("gcld3")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The central bank raises interest rates by half a point", "en"),
        ("Die Zentralbank erhöht heute die Zinsen um einen halben Punkt", "de"),
        ("Сегодня в Москве ожидается снег, температура опустится", "ru"),
        ("Сьогодні в Києві оголосили повітряну тривогу", "uk"),
        ("El precio cae hoy por debajo de la marca", "es"),
        ("קיבלנו היום הודעה חשובה מאוד מהבנק", "he"),
        ("今天价格下跌了", "zh"),
        ("오늘 가격이 하락했습니다", "ko"),
        ("ok", UNKNOWN),
        ("Hello world", UNKNOWN),
        ("", UNKNOWN),
        ("50,000 😀 -> 52,000 (+4 %)", UNKNOWN),
    ],
)
def test_a_language_is_told_if_there_is_enough_to_tell_it(text: str, language: str) -> None:
    assert language_of(Facts(text)) == language


def test_links_names_and_tags_are_no_words() -> None:
    link = "https://example.org/the-central-bank-raises-interest-rates-today"
    made = Facts(f"😀 {link} #zinsen", (Marked("Url", 3, len(link)), Marked("Hashtag", 68, 7)))
    assert language_of(made) == UNKNOWN


@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_any_text_has_a_known_language_or_none(text: str) -> None:
    assert language_of(Facts(text)) in LANGUAGES


def test_a_message_is_asked_about_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def told(words: str) -> str:
        asked.append(words)
        return "en"

    monkeypatch.setattr(languages, "_told", told)
    test = compile_filter({"any": [{"language": ["de"]}, {"language": ["en"]}]}).test
    assert test(Facts("some words"))
    assert asked == ["some words"]


def test_without_the_library_a_rule_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    languages._detector.cache_clear()
    monkeypatch.setitem(sys.modules, "gcld3", None)
    value: Any = {"language": ["sv"]}
    try:
        with pytest.raises(ValueError, match=r"afx\[language\]"):
            compile_filter(value)
    finally:
        languages._detector.cache_clear()


def test_a_long_text_is_judged_by_its_begin() -> None:
    text = "The central bank raises interest rates by half a point. " * 40 + "слово " * 10_000
    assert language_of(Facts(text)) == "en"
