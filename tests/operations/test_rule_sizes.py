"""The regular expressions of a session are bounded where its rules are written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.databases import open_sqlite

from afx.app import ProcessServers
from afx.config import load
from afx.errors import UsageError
from afx.forwarding.sizes import LARGEST_OF_SESSION, program_size
from afx.operations import rule_files, rules
from afx.operations.context import Actor, Context
from models import base
from models.base import transaction
from models.storage import rules as stored
from models.storage import sessions, users
from models.storage.sessions import NewSession

LARGE = {"regex": [r"\pL{1,2}"]}
SIZE = program_size(LARGE, [])
MOST = LARGEST_OF_SESSION // SIZE


@pytest.fixture
def context(home: Path) -> Iterator[Context]:
    """A session has as many rules as its bound allows, each with its own source."""
    open_sqlite(home)
    servers = ProcessServers(load(home=home))
    servers.vault()
    owner = users.create("ann")
    for name in ("main", "other"):
        sessions.create(owner, NewSession(name, "sealed", name))
    found = servers.context(Actor("test"))
    for number in range(MOST):
        add(found, f"r{number}")
    yield found
    base.close_database()


def add(context: Context, name: str, session: str = "main", **fields: Any) -> None:
    rules.add(
        context,
        session,
        sources=["-5"],
        destinations=["-6"],
        name=name,
        **{"filter": LARGE, **fields},
    )


def test_a_rule_that_goes_beyond_is_refused_wherever_it_is_written(context: Context) -> None:
    assert MOST > 1
    with pytest.raises(UsageError, match="regular expressions of session 'main'"):
        add(context, "more")
    with pytest.raises(UsageError, match="instructions together"):
        changes = [{"regex": {"pattern": LARGE["regex"][0], "with": ""}}]
        add(context, "more", filter={}, transform=changes)
    add(context, "more", session="other")
    add(context, "plain", filter={"contains": ["word"]})
    with pytest.raises(UsageError, match="instructions"):
        rules.modify(context, "main/plain", filter=LARGE)
    data = b"rules:\n- {session: main, name: new, from: -1, to: -2, filter: {regex: '\\pL{1,2}'}}"
    changes = rule_files.plan(context, data, "rules.yaml", prune=False)
    with pytest.raises(UsageError, match="instructions"):
        rule_files.apply(context, changes, "rules.yaml")
    assert {it.name for it in rules.listing(context, session="main").rows} == {
        *(f"r{number}" for number in range(MOST)),
        "plain",
    }


def test_a_disabled_rule_counts_when_it_is_enabled(context: Context) -> None:
    rules.set_enabled(context, "main/r0", False)
    add(context, "more")
    with pytest.raises(UsageError, match="instructions"):
        rules.set_enabled(context, "main/r0", True)


def test_a_session_that_is_too_large_may_become_smaller(context: Context) -> None:
    with transaction():
        for name in ("a", "b"):
            stored.create(sessions.find("main"), ["-5"], ["-6"], name=name, filter=LARGE)
    rules.modify(context, "main/a", filter={})
    rules.set_enabled(context, "main/r1", False)
    rules.remove(context, "main/b")


def test_what_this_version_cannot_read_has_no_size() -> None:
    assert program_size({"regex": ["("]}, []) == 0
