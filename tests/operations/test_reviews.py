"""Held messages by the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.cli_runs import runner
from support.databases import open_sqlite
from support.held_messages import add_held_messages

from afx.app import ProcessServers
from afx.config import load
from afx.operations import reviews
from afx.operations.context import Actor, Context
from models import base
from models.storage import held_messages, rules, tasks
from models.storage.held_messages import Decided
from models.storage.sessions import NewSession
from models.storage.sessions import create as create_session
from models.storage.users import create as create_user


@pytest.fixture
def context(home: Path) -> Any:
    """Ann has two rules, with three and one held messages."""
    open_sqlite(home)
    servers = ProcessServers(load(home=home))
    servers.vault()
    session = create_session(create_user("ann"), NewSession("main", "sealed", "a"))
    for name, texts in (("news", ("one", "two", "three")), ("more", ("four",))):
        rule = rules.create(session, ["@news"], ["-5"], name=name)
        add_held_messages(servers.vault(), rule.id, *texts)
    yield servers.context(Actor("test"))
    base.close_database()


def test_the_commands_list_show_approve_reject_and_count(context: Context, home: Path) -> None:
    afx = runner(home)
    rows = json.loads(afx("rule", "review", "list", "--json").stdout)
    assert [it["text"] for it in rows] == ["one", "two", "three", "four"]
    assert "two" in afx("rule", "review", "list", "--rule", "main/news").stdout
    shown = json.loads(afx("rule", "review", "show", "2", "--json").stdout)
    assert (shown["rule"], shown["text"], shown["state"]) == ("main/news", "two", "held")
    kept = afx("rule", "review", "approve", "main/news", "--id", "2", "--dry-run")
    assert "1 messages of rule main/news" in kept.stdout
    assert not tasks.listing().rows
    sent = afx("rule", "review", "approve", "--id", "2")
    assert "1 messages of rule main/news approved (task 1)" in sent.stdout
    gone = json.loads(afx("rule", "review", "reject", "--all", "--yes", "--json").stdout)
    assert [(it["rule"], it["messages"]) for it in gone] == [("main/more", 1), ("main/news", 2)]
    counted = afx("rule", "review", "count", "--json")
    assert [(it["state"], it["count"]) for it in json.loads(counted.stdout)] == [
        ("rejected", 1),
        ("approved", 1),
        ("rejected", 2),
    ]
    assert "rejected" in afx("rule", "review", "list", "--state", "all").stdout
    del context


def test_mistakes_are_told(context: Context, home: Path) -> None:
    del context
    afx = runner(home)
    for words, says in (
        (("approve", "main/news"), "--id"),
        (("approve", "main/news", "--id", "1", "--all"), "--id"),
        (("approve", "--id", "99"), "no held message 99"),
        (("approve", "main/news", "--id", "4"), "waits for no approval"),
        (("show", "99"), "no held message"),
        (("list", "--state", "bored"), "A state is one of"),
    ):
        found = afx("rule", "review", *words)
        assert found.returncode != 0 and says in found.stderr, found.stderr


def test_what_was_edited_since_it_was_listed_is_left_out_where_that_is_asked(
    context: Context, home: Path
) -> None:
    afx = runner(home)
    rows = json.loads(afx("rule", "review", "list", "--rule", "main/news", "--json").stdout)
    seen = max(it["changed_at"] for it in rows)
    vault = context.servers.vault()
    add_held_messages(vault, 1, "one, edited", first=1, event="edited")
    words = ("rule", "review", "approve", "main/news", "--until")
    refused = afx(*words, seen, "--id", "1")
    assert refused.returncode != 0 and "has changed since" in refused.stderr
    assert "2 messages" in afx(*words, seen, "--all", "--yes").stdout
    wrong = afx(*words, "yesterday", "--id", "1")
    assert wrong.returncode != 0 and "--until is an instant" in wrong.stderr


def test_many_are_decided_by_several_tasks_and_no_album_is_torn(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reviews, "_OF_TASK", 2)
    monkeypatch.setattr(reviews, "_OF_ROUTE", 1)
    base.execute("UPDATE held_messages SET album = 7 WHERE id IN (2, 3)")
    made = reviews.approve(context, "main/news")
    assert (made.messages, len(made.tasks), made.left) == (3, 1, False)
    arguments = json.loads(tasks.get(made.tasks[0])["arguments"])
    assert [it["messages"] for it in arguments["routes"]] == [[1], [2, 3]]
    monkeypatch.setattr(reviews, "MOST", 1)
    add_held_messages(context.servers.vault(), 1, "five", "six", first=5)
    assert reviews.approve(context, "main/news").left
    assert not reviews.approve(context, "main/news").left
    assert {it["state"] for it in held_messages.counts(rule=1)} == {"approved"}


def test_messages_for_several_chats_by_turns_fit_into_their_tasks(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [
        Decided(2**30 + it, -(10**12) - 2**40, -(10**12) - 2**40 - it % 3, 2**30 + it, 2**48 - 1, 0)
        for it in range(900)
    ]
    monkeypatch.setattr(held_messages, "decide", lambda *_, **__: found)
    decided = reviews.approve(context, "main/news")
    arguments = [json.loads(tasks.get(it)["arguments"]) for it in decided.tasks]
    sent = [it for each in arguments for route in each["routes"] for it in route["messages"]]
    assert sent == [it.message for it in found]
