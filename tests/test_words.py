"""One word per thing: names and documentation use the words of docs/glossary.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from afx.config import Settings
from cli.main import COMMANDS, load
from models.tables import ALL

ROOT = Path(__file__).parent.parent
GLOSSARY = (ROOT / "docs/glossary.md").read_text()
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])
SOURCES = sorted(
    path for folder in ("afx", "cli", "jobs", "models") for path in (ROOT / folder).rglob("*.py")
)
REPLACED = {
    r"begin(s|ning)? anew|began anew|begun anew": "restart",
    r"fits? nowhere": "unschedulable",
    r"NONE LEADS|nobody leads": "no leader",
    r"nobody waits|who waits": "the overflow queue is empty",
    r"\bit lives\b|\blives already\b": "is running",
    r"even(s|ed|ing)? (the )?nodes out|evens? out|evened out": "rebalance",
    r"give(s)? way|gave way": "preempted",
    r"take(s)? (them|these) up": "takes over",
    r"\bwishes?\b": "desired state",
}
"""Phrases that the glossary's words replace, as patterns."""


def vocabulary() -> set[str]:
    bold = re.findall(r"\*\*([a-z ]+)\*\*", GLOSSARY)
    _, _, others = GLOSSARY.partition("## Other words in names")
    listed = re.findall(r"[a-z]+", others.lower())
    return {word for phrase in (*bold, *listed) for word in phrase.split()}


def is_known(word: str, known: set[str]) -> bool:
    return not word or word in known or word.removesuffix("s") in known or f"{word}s" in known


def unknown_words(name: str) -> list[str]:
    known = vocabulary()
    return [it for it in re.split(r"[_\-\s]+", name.lower()) if not is_known(it, known)]


def commands() -> Iterator[tuple[str, Any]]:
    for noun in COMMANDS:
        command = load(noun)
        verbs = getattr(command, "commands", None)
        if verbs:
            for verb, subcommand in verbs.items():
                yield f"{noun} {verb}", subcommand
        else:
            yield noun, command


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_a_command_uses_the_words_of_the_glossary(name: str) -> None:
    assert not unknown_words(name)


def test_options_use_the_words_of_the_glossary() -> None:
    found = {
        (name, option): unknown_words(option.strip("-"))
        for name, command in commands()
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--")
    }
    unknown = {key: words for key, words in found.items() if words and key[1] != "--no-wait"}
    assert not unknown


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_a_setting_uses_the_words_of_the_glossary(name: str) -> None:
    assert not unknown_words(name)


@pytest.mark.parametrize("table", ALL, ids=lambda it: it._meta.table_name)
def test_a_table_uses_the_words_of_the_glossary(table: Any) -> None:
    meta = table._meta
    names = [meta.table_name, *meta.columns]
    assert not {name: words for name in names if (words := unknown_words(name))}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda it: it.name)
def test_each_documented_command_exists(path: Path) -> None:
    known = dict(commands())
    nouns = {name.partition(" ")[0] for name in known}
    missing = []
    for line in documented(path.read_text()):
        words = line.split()
        if not words or words[0].startswith("-") or not re.fullmatch(r"[a-z|]+", words[0]):
            continue
        for noun in words[0].split("|"):
            if noun not in nouns:
                missing.append(line)
            elif noun not in known and len(words) > 1 and re.fullmatch(r"[a-z|]+", words[1]):
                missing += [line for it in words[1].split("|") if f"{noun} {it}" not in known]
    assert not missing


def documented(text: str) -> Iterator[str]:
    """Yield what follows ``afx`` in code spans and code blocks."""
    yield from re.findall(r"`afx ([^`\n]+)`", text)
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            yield from re.findall(r"(?:^|[|&;] *|\$\()\s*(?:\S*/)?afx ([^|&;#)]+)", line)


@pytest.mark.parametrize("pattern", REPLACED)
def test_no_document_and_no_source_uses_a_replaced_phrase(pattern: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0]} (say: {REPLACED[pattern]})"
        for path in (*DOCUMENTS, *SOURCES)
        if path.exists() and path.name != "glossary.md"
        for match in re.finditer(pattern, path.read_text())
    ]
    assert not found
