"""Whether accounts can do what changed rules ask of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.databases import open_sqlite

from afx.app import ProcessServers
from afx.config import load
from afx.forwarding.rule_docs import Change, RuleDoc
from afx.operations import rule_access
from afx.operations.context import Actor, Context
from afx.operations.rule_access import Access, check, needed
from afx.security.keyfile import read_keys
from models import base
from models.storage import tasks as stored_tasks
from models.storage.sessions import NewSession
from models.storage.sessions import create as create_session
from models.storage.users import create as create_user

DOC = RuleDoc("main", "r", ("@news", "-1001/7"), ("-1002", "webhook:https://a.example/"), "copy")


def added(doc: RuleDoc) -> Change:
    return Change("add", None, doc)


@pytest.fixture
def context(home: Path) -> Iterator[Context]:
    open_sqlite(home)
    read_keys(home, "")
    user = create_user("bob")
    for it in ("main", "p1", "p2"):
        create_session(user, NewSession(it, "x", it))
    with ProcessServers(load(home=home)) as servers:
        yield servers.context(Actor("test"))
    base.close_database()


def asked(*changes: Change) -> dict[str, tuple[list[str], list[str]]]:
    return {it.session: (list(it.reads), list(it.posts)) for it in needed(changes)}


def test_a_rule_s_session_reads_and_posts_and_its_senders_post_in_its_place() -> None:
    assert asked(added(DOC)) == {"main": (["@news", "-1001"], ["-1002"])}
    pooled = replace(DOC, options={"senders": ["p1", "p2"]})
    assert asked(added(pooled)) == {
        "main": (["@news", "-1001"], []),
        "p1": ([], ["-1002"]),
        "p2": ([], ["-1002"]),
    }


def test_a_rule_that_may_write_to_strangers_says_so() -> None:
    [plain] = needed([added(DOC)])
    [allowed] = needed([added(replace(DOC, options={"strangers": True}))])
    assert [list(it.strangers) for it in (plain, allowed)] == [[], ["-1002"]]
    assert [len(part) for it in (plain, allowed) for part in rule_access._parts(it)] == [2, 3]


def test_rules_that_are_removed_or_disabled_ask_nothing() -> None:
    assert asked(Change("remove", DOC, None), added(replace(DOC, enabled=False))) == {}


def test_without_a_leader_nobody_is_asked(context: Context) -> None:
    found = check(context, [added(DOC)], timeout=0.0)
    assert not found.missing
    assert "no coordinator leads" in found.unknown[0]
    assert check(replace(context, dry_run=True), [added(DOC)], timeout=0.0) == Access((), ())


def test_each_missing_right_is_a_line_and_so_is_who_did_not_answer(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule_access, "leader_known", lambda _: True)

    def watched(_: Context, ids: list[int], *, timeout: float) -> Iterator[list[Any]]:
        assert timeout == 5.0
        rows = []
        for it in ids:
            row = stored_tasks.get(it)
            problems = {"main": [], "p1": ["post to -1002: it was muted there"]}
            name = row["session_name"]
            state = "succeeded" if name in problems else "queued"
            task = SimpleNamespace(id=it, state=state, error="")
            rows.append(SimpleNamespace(task=task, result={"problems": problems.get(name)}))
        yield []
        yield rows

    monkeypatch.setattr(rule_access.tasks, "watch", watched)
    pooled = replace(DOC, options={"senders": ["p1", "p2"]})
    found = check(context, [added(pooled)], timeout=5.0)
    assert found.missing == ("p1 cannot post to -1002: it was muted there",)
    [unknown] = found.unknown
    assert unknown.startswith("p2 was not asked")
