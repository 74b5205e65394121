"""What waits for digests is told by the command line and the API."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis as redis_module
from support.cli_runs import runner
from support.databases import open_sqlite

from afx.app import ProcessServers
from afx.cluster import keys
from afx.config import load
from afx.operations import rule_digests, rule_trials, rules
from afx.operations.context import Actor, Context
from models import base
from models.storage import cursors
from models.storage.sessions import NewSession
from models.storage.sessions import create as create_session
from models.storage.users import create as create_user

DUE = int(datetime(2026, 11, 30, 8, 0, 2, tzinfo=UTC).timestamp())


@pytest.fixture
def context(home: Path) -> Any:
    """A session with a rule that has digests, and one that has none."""
    open_sqlite(home)
    servers = ProcessServers(load(home=home))
    servers.vault()
    session = create_session(create_user("ann"), NewSession("main", "sealed", "a"))
    made = servers.context(Actor("test"))
    digest = {"digest": {"at": ["08:00"], "zone": "Europe/Berlin"}}
    for name, options in (("news", digest), ("more", {})):
        rules.add(
            made, "main", sources=["@news"], destinations=["@copies"], name=name, options=options
        )
    fields = {
        "later:s1:-5:0": f"1:n:-7:1-3,9@{DUE};1:n:-8:4@{DUE + 60}",
        "later:s1:-5:1": f"1:n:-7:10@{DUE + 60};1:?:x",
        "later:s1:-6:0": f"1:n:-7:1@{DUE}",
        "later:s11:-5:0": f"11:n:-7:1@{DUE - 60}",
        "later:d1:-5:0": f"1:d:-7:1@{DUE - 60}",
        "outbox:-5:0": "1:n:-7:1",
    }
    with base.transaction():
        cursors.save_many({session.id: fields})
    yield made
    base.close_database()


def test_it_is_told_how_many_messages_wait_and_when_they_are_due(
    context: Context, home: Path
) -> None:
    [found] = rule_digests.listing(context)
    assert (found.rule, found.waiting) == ("main/news", 6)
    assert found.due_at is not None and found.due_at.timestamp() == DUE
    afx = runner(home)
    assert "6 wait, due 2026-11-30 08:00:02" in afx("rule", "list").stdout
    shown = json.loads(afx("rule", "show", "main/news", "--json").stdout)
    assert shown["digest"]["waiting"] == 6
    assert "digest" not in json.loads(afx("rule", "show", "main/more", "--json").stdout)
    cursors.save_many({1: {}})
    [found] = rule_digests.listing(context)
    assert (found.waiting, found.due_at) == (0, None)
    assert "nothing waits" in afx("rule", "list").stdout


def test_redis_knows_better_than_the_copy_unless_it_is_malformed(
    context: Context, home: Path, redis_url: str, redis: redis_module.Redis
) -> None:
    del context
    key = keys.cursor(1)
    redis.hset(key, mapping={"later:s1:-5:7": f"1:n:-7:8@{DUE + 5}", "later:s2:-5:0": "x"})
    with ProcessServers(load(home=home, redis_url=redis_url)) as servers:
        asked = servers.context(Actor("test"))
        [found] = rule_digests.listing(asked, session="main")
        assert (found.waiting, found.due_at) == (1, datetime.fromtimestamp(DUE + 5, UTC))
        redis.delete(key)
        redis.set(key, "x")
        [found] = rule_digests.listing(asked, rule="main/news")
        assert found.waiting == 6
        assert not rule_digests.listing(asked, session="other")


def test_the_option_is_set_removed_explained_and_shown_as_it_is_written(
    context: Context, home: Path
) -> None:
    afx = runner(home)
    assert "DIGEST" not in afx("rule", "list", "--session", "other").stdout
    assert afx("rule", "set", "main/more", "--options", "digest: {every: 2h}").returncode == 0
    row = rules.show(context, "main/more")
    assert row.options == {"digest": {"every": 7_200}}
    assert any("sent together every 2h" in it for it in rule_trials.in_words(row))
    assert "every: 2h" in afx("rule", "export").stdout
    wrong = afx("rule", "set", "main/more", "--options", "{digest: {every: 2h}, delay: 5m}")
    assert wrong.returncode != 0 and "exclude each other" in wrong.stderr
    assert afx("rule", "set", "main/more", "--options", "").returncode == 0
    assert not rules.show(context, "main/more").options
