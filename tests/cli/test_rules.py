"""Rules with filters and transforms at the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.cli_runs import Run, complains, runner
from telethon.crypto import AuthKey
from telethon.sessions import StringSession

RULES = """\
rules:
- {session: main, name: news, from: '@the_news', to: '@copies',
   filter: {not: {media: photo}, words: Sale}, transform: {footer: x}}
"""


def login() -> str:
    made = StringSession()
    made.set_dc(2, "149.154.167.51", 443)
    made.auth_key = AuthKey(b"test" * 64)
    return str(made.save())


@pytest.fixture
def afx(home: Path) -> Run:
    """A home with a user, a session and a rule."""
    run = runner(home)
    (home / "rules.yaml").write_text(RULES)
    for command in (
        ("user", "add", "alice"),
        ("session", "import", "main", "--user", "alice"),
        ("rule", "apply", "-f", "rules.yaml"),
    ):
        done = run(*command, stdin=login())
        assert done.returncode == 0, done.stderr
    return run


def output(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_filters_and_transforms_are_applied_exported_and_shown(afx: Run, home: Path) -> None:
    shown = output(afx("rule", "show", "main/news", "--json"))
    assert shown["filter"] == {"not": {"media": ["photo"]}, "words": ["Sale"]}
    assert shown["transform"] == [{"footer": "x"}]
    (home / "rules.yaml").write_text(afx("rule", "export").stdout)
    assert "already" in afx("rule", "apply", "-f", "rules.yaml").stdout


def test_a_rule_is_added_with_a_filter_and_transforms(afx: Run) -> None:
    wanted = ("rule", "add", "main", "--from", "@aaaa", "--to", "@bbbb")
    done = afx(
        *wanted, "--filter", "[{reply: true}, {length: {max: 9}}]", "--transform", "header: h"
    )
    assert done.returncode == 0, done.stderr
    assert 'if {"all": [{"reply": true}, {"length": {"max": 9}}]}' in done.stdout
    assert 'with [{"header": "h"}]' in done.stdout
    complains(afx(*wanted, "--filter", "regex: '(a'"), 2, "field 'filter.regex'")


def test_what_copies_follow_is_set_shown_and_exported(afx: Run) -> None:
    done = afx("rule", "set", "main/news", "--sync", "[edits, pins]")
    assert "following edits, pins" in done.stdout
    assert output(afx("rule", "show", "main/news", "--json"))["sync"] == ["edits", "pins"]
    assert "- edits\n" in afx("rule", "export").stdout
    assert "The copies follow edits, pins." in afx("rule", "explain", "main/news").stdout
    wanted = ("rule", "add", "main", "--from", "@aaaa", "--to", "@bbbb", "--mode", "forward")
    complains(afx(*wanted, "--sync", "edits"), 2, "following edits needs the mode copy")
    assert "following deletes" in afx(*wanted, "--sync", "deletes").stdout
    assert "following" not in afx("rule", "set", "main/news", "--sync", "").stdout


def test_options_are_set_shown_and_exported(afx: Run) -> None:
    done = afx("rule", "set", "main/news", "--options", "dedupe: 6h")
    assert '{"dedupe": 21600}' in done.stdout
    assert output(afx("rule", "show", "main/news", "--json"))["options"] == {"dedupe": 21_600}
    assert "dedupe: 6h\n" in afx("rule", "export").stdout
    assert "forwarded once in 6h" in afx("rule", "explain", "main/news").stdout
    complains(afx("rule", "set", "main/news", "--options", "dedupe: 9d"), 2, "from 1m to 7d")
    assert "dedupe" not in afx("rule", "set", "main/news", "--options", "").stdout


def test_mistakes_in_filters_and_transforms_are_shown_with_their_lines(
    afx: Run, home: Path
) -> None:
    (home / "r.yaml").write_text(
        "rules:\n- {session: main, name: a, from: '@aaaa', to: '@bbbb', mode: forward,\n"
        "   filter: {media: film},\n   transform: {footer: x}}\n"
    )
    complains(
        afx("rule", "apply", "-f", "r.yaml"),
        2,
        "line 3, field 'filter.media'",
        "line 4, field 'transform': a forward shows",
    )


def test_the_schema_of_rule_files_is_printed(home: Path) -> None:
    schema = output(runner(home)("rule", "schema"))
    assert set(schema["$defs"]["rule"]["properties"]) >= {"session", "from", "to", "filter"}


def test_a_rule_is_tried_changed_edited_and_explained(afx: Run, home: Path) -> None:
    done = afx("rule", "test", "main/news", "--text", "no such word")
    assert done.stdout == "✗ main/news does not forward it: all > words: Sale is false\n"
    (home / "m.json").write_text(json.dumps({"text": "SALE 😀", "entities": []}))
    [tried] = output(afx("rule", "test", "-f", "m.json", "--json"))
    assert (tried["forwards"], tried["text"]) == (True, "SALE 😀\nx")
    done = afx("rule", "set", "main/news", "--filter", "", "--transform", "header: h")
    assert done.stdout == 'rule main/news is @the_news → @copies (copy) with [{"header": "h"}]\n'
    complains(afx("rule", "set", "main/news", "--mode", "forward"), 2, "need the mode copy")
    edit = f"{sys.executable} -c \"import sys; p = sys.argv[1]; s = open(p).read(); \
open(p, 'w').write(s.replace('@copies', '@the_news'))\""
    assert afx("rule", "edit", "main/news", EDITOR=edit).stdout == "rule main/news is changed\n"
    wanted = ("rule", "add", "main", "--from", "@the_news", "--to", "@the_news")
    assert "note: " not in afx(*wanted).stderr
    explained = afx("rule", "explain", "main/news").stdout.splitlines()
    assert explained[:4] == [
        "main/news:",
        "  Forwards all messages of @the_news to @the_news, and does not show who wrote them.",
        "  Then changes the copy, in this order:",
        "    1. header: h",
    ]


def test_doubles_and_ways_round_are_told(afx: Run, home: Path) -> None:
    done = afx("rule", "add", "main", "--from", "@copies", "--to", "@the_news")
    assert "note: @copies → @the_news → @copies is a way round" in done.stderr
    (home / "r.yaml").write_text(
        "rules:\n- {session: main, name: more, from: '@the_news', to: '@copies'}\n"
    )
    done = afx("rule", "apply", "-f", "r.yaml", "--dry-run")
    assert "forward the same messages of @the_news to @copies" in done.stderr
