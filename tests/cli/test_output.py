"""Lists: how many rows they print, and what an empty one says."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from support.cli_runs import Run, runner
from support.databases import open_sqlite

from afx.operations import rule_files
from cli import output, rule
from models import base
from models.paging import Page
from models.storage import users


@pytest.fixture
def afx(home: Path) -> Run:
    return runner(home)


@pytest.fixture
def many_users(home: Path) -> None:
    open_sqlite(home)
    with base.transaction():
        for number in range(1_050):
            users.create(f"user-{number:04}", "free")
    base.close_database()


@pytest.mark.usefixtures("many_users")
def test_programs_get_all_rows_unless_they_ask_for_fewer(afx: Run) -> None:
    done = afx("user", "list", "--json")
    assert len(json.loads(done.stdout)) == 1_050
    assert done.stderr == ""
    done = afx("user", "list", "--json", "--limit", "7")
    assert len(json.loads(done.stdout)) == 7
    assert "--after user-0006" in done.stderr


@pytest.mark.usefixtures("many_users")
def test_people_get_a_hundred_rows_and_a_hint_unless_they_ask_for_all(afx: Run) -> None:
    done = afx("user", "list")
    assert len(done.stdout.splitlines()) == 1 + 100
    assert "--after user-0099" in done.stderr
    done = afx("user", "list", "--limit", "0")
    assert len(done.stdout.splitlines()) == 1 + 1_050
    assert done.stderr == ""


def test_an_empty_list_prints_a_first_step_only_when_nothing_exists(afx: Run) -> None:
    assert afx("user", "list").stderr == (
        "There are no users yet; add one with 'afx user add NAME'.\n"
    )
    assert afx("user", "list", "--tier", "premium").stderr == "No users match.\n"
    assert afx("session", "list", "--trouble").stderr == "No sessions match.\n"
    assert afx("rule", "list", "--disabled").stderr == "No rules match.\n"
    assert afx("control", "list", "--open").stderr == "No controls match.\n"
    assert afx("audit", "list", "--action", "user.").stderr == "No entries match.\n"
    assert afx("overflow", "list").stderr == "The overflow queue is empty.\n"
    afx("user", "add", "alice")
    assert afx("user", "list", "--after", "zoe").stderr == "There is nothing after zoe.\n"


@dataclass(slots=True, frozen=True)
class Row:
    """A row as a dataclass."""

    name: str


def test_rows_may_be_dataclasses(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [Row("a"), Row("b"), Row("c")]

    def fetch(after: int | None, limit: int) -> Page:
        begin = after or 0
        following = begin + 2 if begin + 2 < len(rows) else None
        assert limit >= 2
        return Page(rows[begin : begin + 2], following)  # type: ignore[arg-type]

    output.print_list(
        fetch,
        ("NAME",),
        lambda it: (it.name,),
        as_json=True,
        limit=None,
        after=None,
        everything=False,
        empty="",
    )
    assert json.loads(capsys.readouterr().out) == [{"name": "a"}, {"name": "b"}, {"name": "c"}]


def test_nested_fields_are_spread_over_lines(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_fields({"lost": 0, "latency_ms": {"p50": 1.5, "p99": None}}, as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "lost            0",
        "latency ms p50  1.5",
        "latency ms p99  -",
    ]


def test_names_of_chats_are_shown_as_they_are_beside_words_of_fields(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.print_fields(
        {"copy_text": "x", "chats": {"@the_news": "News", "\x1b[2J": 1}}, as_json=False
    )
    assert capsys.readouterr().out.splitlines() == [
        "copy text        x",
        "chats @the_news  News",
        "chats �[2J       1",
    ]


@pytest.mark.parametrize("step", ["plan", "apply"])
def test_ctrl_c_in_a_change_of_rules_says_what_was_changed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, step: str
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    change = SimpleNamespace(kind="remove", path="main/news", before=None, after=None)
    monkeypatch.setattr(rule_files, "plan", lambda *_, **__: [change])
    monkeypatch.setattr(rule_files, step, interrupted)
    for name in ("print_diff", "warn", "check_access"):
        monkeypatch.setattr(rule, name, lambda *_: None)
    (tmp_path / "rules.yaml").write_text("rules: []")
    invocation = SimpleNamespace(context=None, json=False, confirm=lambda _: None)
    with pytest.raises(typer.Exit) as ended:
        inspect.unwrap(rule.apply)(invocation, tmp_path / "rules.yaml")
    assert ended.value.exit_code == 130
    said = capsys.readouterr().err
    assert (
        "nothing was changed." if step == "plan" else "all of it was changed, or nothing"
    ) in said
