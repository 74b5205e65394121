"""Dead letters as operators see them, retry them and drop them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.cli_runs import runner
from support.databases import open_sqlite

from afx.app import ProcessServers
from afx.config import load
from afx.errors import ForbiddenError, NotFoundError, UsageError
from afx.operations import dead_letters
from afx.operations.context import Actor, Context
from models import base
from models.base import transaction
from models.storage import dead_letters as stored
from models.storage import rules, sessions, tasks
from models.storage.dead_letters import Undelivered
from models.storage.sessions import NewSession
from models.storage.sessions import create as create_session
from models.storage.users import create as create_user


@pytest.fixture
def contexts(home: Path) -> Any:
    """Ann's rule has 300 dead letters; returns what makes contexts."""
    open_sqlite(home)
    servers = ProcessServers(load(home=home))
    servers.vault()
    session = create_session(create_user("ann"), NewSession("main", "sealed", "a"))
    rule = rules.create(session, ["@news"], ["-5"], name="news")
    create_user("bob")
    for reason, messages in (("message_gone", range(1, 200)), ("message_refused", range(500, 601))):
        with transaction():
            dead = Undelivered(session.id, rule.id, -(10**12), -5, messages, reason)
            stored.note([dead])
    yield lambda owner="", **options: servers.context(Actor("test", owner=owner), **options)
    base.close_database()


def test_a_retry_queues_tasks_for_the_rules_session_and_leaves_the_rows(contexts: Any) -> None:
    context: Context = contexts()
    chosen = dead_letters.choose(context, "main/news", reason="message_refused")
    assert (chosen.messages, len(chosen.rows)) == (101, 2)
    [task] = dead_letters.retry(context, chosen)
    row = tasks.get(task)
    assert (row["kind"], row["session_name"]) == ("rule.retry", "main")
    assert json.loads(row["arguments"]) == {
        "rule": 1,
        "routes": [
            {"source": -(10**12), "destination": -5, "messages": "500-511"},
            {"source": -(10**12), "destination": -5, "messages": "512-600"},
        ],
    }
    assert stored.count(1) == 300, "they leave when they wait in an outbox"
    with pytest.raises(UsageError, match="unique key"):
        dead_letters.retry(context, chosen)


def test_a_retry_says_why_what_is_to_be_judged_or_changed_is_dead(contexts: Any) -> None:
    context: Context = contexts()
    session = sessions.find("main").id
    with transaction():
        for number, reason in enumerate(("not_judged", "edit_refused", "rule_changed"), 1_000):
            stored.note([Undelivered(session, 1, -(10**12), -5, [number], reason)])
    chosen = dead_letters.choose(context, "1")
    [task] = dead_letters.retry(context, chosen)
    routes = json.loads(tasks.get(task)["arguments"])["routes"]
    assert {it["messages"]: it.get("reason") for it in routes if len(it["messages"]) == 4} == {
        "1000": "not_judged",
        "1001": "edit_refused",
        "1002": None,
    }


def test_a_dry_run_queues_and_drops_nothing(contexts: Any) -> None:
    context = contexts(dry_run=True)
    chosen = dead_letters.choose(context, "1")
    assert dead_letters.drop(context, chosen) == 300
    dead_letters.retry(context, chosen)
    assert stored.count(1) == 300
    assert not tasks.listing().rows


def test_rows_are_chosen_by_rule_reason_and_id(contexts: Any) -> None:
    context = contexts()
    first = dead_letters.listing(context, limit=1)
    assert [(it.rule, it.count) for it in first.rows] == [("main/news", 199)]
    assert len(dead_letters.listing(context, after=first.next).rows) == 2
    chosen = dead_letters.choose(context, "1", ids=(first.rows[0].id,))
    assert dead_letters.drop(context, chosen) == 199
    with pytest.raises(NotFoundError, match="no dead letters"):
        dead_letters.choose(context, "1", ids=(first.rows[0].id,))
    with pytest.raises(NotFoundError):
        dead_letters.choose(context, "1", reason="message_gone")
    with pytest.raises(UsageError, match="A reason is one of"):
        dead_letters.listing(context, reason="boredom")


def test_another_owner_sees_and_changes_no_dead_letters(contexts: Any) -> None:
    chosen = dead_letters.choose(contexts("ann"), "1")
    assert not dead_letters.listing(contexts("bob")).rows
    assert not dead_letters.counts(contexts("bob"))
    assert len(dead_letters.counts(contexts("ann"))) == 2
    for call in (dead_letters.drop, dead_letters.retry):
        with pytest.raises((ForbiddenError, NotFoundError)):
            call(contexts("bob"), chosen)
    assert stored.count(1) == 300


def test_the_commands_list_retry_and_drop(contexts: Any, home: Path) -> None:
    del contexts
    afx = runner(home)
    rows = json.loads(afx("rule", "dead", "list", "--json").stdout)
    assert [it["count"] for it in rows] == [199, 12, 89]
    shown = afx("rule", "dead", "list", "--rule", "main/news").stdout
    assert "message_gone" in shown and "1-199" in shown
    tried = afx("rule", "dead", "retry", "main/news", "--yes", "--json")
    assert json.loads(tried.stdout)["messages"] == 300
    kept = afx("rule", "dead", "drop", "1", "--dry-run")
    assert "would" in kept.stdout or "dry" in kept.stdout
    counted = afx("rule", "dead", "count", "--json")
    assert [(it["reason"], it["count"]) for it in json.loads(counted.stdout)] == [
        ("message_gone", 199),
        ("message_refused", 101),
    ]
    assert "main/news" in afx("rule", "dead", "count").stdout
    gone = afx("rule", "dead", "drop", "1", "--kind", "message_gone", "--yes")
    assert "199 messages of rule main/news dropped" in gone.stdout
    assert stored.count(1) == 101
