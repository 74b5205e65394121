"""Options that the settings do not allow are refused where rules are written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_module
from support.databases import open_sqlite

from afx.app import ProcessServers
from afx.cluster import keys
from afx.config import load
from afx.errors import UsageError
from afx.operations import rule_files, rule_trials, rules
from afx.operations.context import Actor, Context
from models import base
from models.storage import sessions, users
from models.storage.sessions import NewSession

FILE = """rules:
  - session: main
    name: more
    from: -5
    to: -6
    options: {auto_delete: %s}
"""


@pytest.fixture
def context(home: Path) -> Iterator[Context]:
    """Links are kept for seven days."""
    open_sqlite(home)
    servers = ProcessServers(load(home=home, link_days=7))
    servers.vault()
    sessions.create(users.create("ann"), NewSession("main", "sealed", "main"))
    yield servers.context(Actor("test"))
    base.close_database()


def test_copies_are_not_to_be_deleted_later_than_their_links_are_kept(context: Context) -> None:
    chats = {"sources": ["-5"], "destinations": ["-6"], "name": "news"}
    with pytest.raises(UsageError, match="link_days"):
        rules.add(context, "main", **chats, options={"auto_delete": "8d"})
    rules.add(context, "main", **chats, options={"auto_delete": "7d"})
    with pytest.raises(UsageError, match="after 8d"):
        rules.modify(context, "main/news", options={"auto_delete": "8d"})
    with pytest.raises(UsageError, match="link_days"):
        rule_files.plan(context, (FILE % "8d").encode(), "rules.yaml", prune=False)
    plan = rule_files.plan(context, (FILE % "7d").encode(), "rules.yaml", prune=False)
    rule_files.apply(context, plan, "rules.yaml")


def test_a_rule_of_earlier_settings_can_be_changed_otherwise(context: Context) -> None:
    rules.add(
        context, "main", sources=["-5"], destinations=["-6"], name="r", options={"auto_delete": 60}
    )
    stored = rules.rules.find("main/r")
    rules.rules.change(stored, options={"auto_delete": 30 * 86_400})
    assert rules.modify(context, "main/r", enabled=False)[1]


def test_the_senders_of_a_rule_are_sessions_of_its_user(context: Context) -> None:
    sessions.create(users.find("ann"), NewSession("poster", "sealed", "poster"))
    sessions.create(users.create("bob"), NewSession("strange", "sealed", "strange"))
    chats = {"sources": ["-5"], "destinations": ["-1001234567890"], "name": "news"}
    for name in ("strange", "none"):
        with pytest.raises(UsageError, match=f"no session '{name}'"):
            rules.add(context, "main", **chats, options={"senders": ["poster", name]})
    rules.add(context, "main", **chats, options={"senders": ["poster", "main"]})
    with pytest.raises(UsageError, match="no session 'strange'"):
        rules.modify(context, "main/news", options={"senders": ["strange"]})
    for to in ("-6", "webhook:https://example.org/x"):
        with pytest.raises(UsageError, match="channels and supergroups only"):
            rules.modify(context, "main/news", destinations=[to])
    file = FILE.replace("{auto_delete: %s}", "{senders: strange}").replace("-6", "-1001234567890")
    with pytest.raises(UsageError, match="no session 'strange'"):
        rule_files.plan(context, file.encode(), "rules.yaml", prune=False)


def test_a_rule_says_which_of_its_senders_cannot_send(context: Context) -> None:
    for name in ("a", "b", "c"):
        sessions.create(users.find("ann"), NewSession(name, f"sealed {name}", name))
    names = ["a", "b", "c"]
    chats = {"sources": ["-5"], "destinations": ["-1001234567890"], "name": "news"}
    rules.add(context, "main", **chats, options={"senders": names})
    assert not rules.show(context, "main/news").trouble
    sessions.set_desired_state(sessions.find("b"), "paused")
    sessions.remove_many([sessions.find("c").id])
    expected = "senders: b is paused, c does not exist"
    assert rules.show(context, "main/news").trouble == expected
    [row] = rules.listing(context).rows
    assert row.trouble == expected
    assert f"Trouble: {expected}" in rule_trials.explain(context, "main/news").sentences


def test_a_rule_says_which_of_its_senders_posts(
    context: Context, redis: redis_module.Redis, redis_url: str
) -> None:
    sender = sessions.create(users.find("ann"), NewSession("a", "sealed a", "a"))
    chats = {"sources": ["-5"], "destinations": ["-1001234567890"], "name": "news"}
    rules.add(context, "main", **chats, options={"senders": ["a"]})
    rule = rules.show(context, "main/news").id
    servers = ProcessServers(context.settings.model_copy(update={"redis_url": redis_url}))
    asking = servers.context(Actor("test"))
    assert not [it for it in rule_trials.explain(asking, "main/news").sentences if "Now" in it]
    redis.hset(keys.pool(rule, -1_001_234_567_890), "sender", sender.id)
    assert "Now a posts to -1001234567890." in rule_trials.explain(asking, "main/news").sentences
