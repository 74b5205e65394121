"""Doubts of rules, as operators see and decide them, on a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_module
from support.databases import open_sqlite

from afx.app import ProcessServers
from afx.cluster import keys
from afx.config import load
from afx.errors import NotFoundError, UsageError
from afx.operations import audit_log, doubts
from afx.operations import rules as rule_operations
from afx.operations.context import Actor, Context
from afx.operations.doubts import DoubtRow
from afx.security.keyfile import read_keys
from models import base
from models.storage import rules
from models.storage.sessions import NewSession
from models.storage.sessions import create as create_session
from models.storage.users import create as create_user

SOURCE, TO = -1_001_000_000_001, -1_001_000_000_002


@pytest.fixture
def context(home: Path, redis_url: str) -> Iterator[Context]:
    open_sqlite(home)
    read_keys(home, "")  # for a database with logins none is made
    with ProcessServers(load(home=home, redis_url=redis_url)) as servers:
        yield servers.context(Actor("test"))
    base.close_database()


@pytest.fixture
def rule(context: Context, redis: redis_module.Redis) -> int:
    """A rule of which two messages are in doubt: of a sender, and of one that is gone."""
    user = create_user("bob")
    owner, poster = (create_session(user, NewSession(it, "x", it)) for it in ("main", "poster"))
    found = rules.create(owner, [str(SOURCE)], [str(TO)], options={"senders": ["poster"]})
    redis.sadd(keys.pool_lanes(found.id), TO, "nonsense")
    lane = {
        "doubt:-5": poster.id,
        "of:-5": f"{SOURCE}:12:7:1700000000",
        "doubt:6": 999,
        "of:6": f"{SOURCE}:13:7:1700000001",
        "doubt:x": 1,
        "doubt:7": "nobody",
    }
    redis.hset(keys.pool(found.id, TO), mapping=lane)
    return int(found.id)


def shown(rows: list[DoubtRow]) -> list[tuple[str, int, int, int, str]]:
    return [(it.sender, it.source, it.message, it.destination, it.decision) for it in rows]


def test_doubts_name_their_messages_and_who_may_have_sent_them(context: Context, rule: int) -> None:
    rows = doubts.listing(context, str(rule))
    assert shown(rows) == [
        ("poster", SOURCE, 12, TO, ""),
        ("session 999", SOURCE, 13, TO, ""),
    ]
    assert rows[0].since is not None and rows[0].since.year == 2023
    assert rows[0].rule.startswith("main/")
    assert doubts.listing_if_running(context, str(rule)) == rows


def test_a_decision_is_stored_for_the_rule_s_node_and_audited(
    context: Context, rule: int, redis: redis_module.Redis
) -> None:
    doubts.decide(context, str(rule), sent=345, message=12)
    doubts.decide(context, str(rule), message=13, source=SOURCE, destination=TO)
    lane = keys.pool(rule, TO)
    assert redis.hmget(lane, "verdict:-5", "verdict:6") == ["sent:345", "not-sent"]
    assert [it.decision for it in doubts.listing(context, str(rule))] == ["sent as 345", "not sent"]
    entries = [it for it in audit_log.listing(context).rows if it.action == "rule.doubt.decide"]
    assert len(entries) == 2


def test_what_a_sender_is_just_sending_is_no_doubt_yet(
    context: Context, rule: int, redis: redis_module.Redis
) -> None:
    lane = keys.pool(rule, TO)
    now = redis.time()[0]
    sender = redis.hget(lane, "doubt:-5")
    under_way = {"state": "taken", "ids": "-5,", "of:-5": f"{SOURCE}:12:7:{now}"}
    redis.hset(lane, mapping=under_way)
    assert [it.message for it in doubts.listing(context, str(rule))] == [13]
    redis.hset(lane, f"gone:{sender}", now)
    assert {it.message for it in doubts.listing(context, str(rule))} == {12, 13}
    redis.hdel(lane, f"gone:{sender}")
    redis.hset(lane, "of:-5", f"{SOURCE}:12:7:{now - 60}")
    assert {it.message for it in doubts.listing(context, str(rule))} == {12, 13}


def test_a_copy_is_that_of_one_message_only(
    context: Context, rule: int, redis: redis_module.Redis
) -> None:
    doubts.decide(context, str(rule), sent=345, message=12)
    with pytest.raises(UsageError, match="the copy of another message"):
        doubts.decide(context, str(rule), sent=345, message=13)
    assert redis.hget(keys.pool(rule, TO), "verdict:6") is None
    doubts.decide(context, str(rule), sent=344, message=12)
    doubts.decide(context, str(rule), sent=345, message=13)


def test_doubts_whose_message_is_not_known_are_decided(
    context: Context, rule: int, redis: redis_module.Redis
) -> None:
    redis.hdel(keys.pool(rule, TO), "of:6")
    [row] = doubts.decide(context, str(rule), message=0, source=0, destination=TO)
    assert (row.message, row.sender, row.decision) == (0, "session 999", "")
    assert redis.hget(keys.pool(rule, TO), "verdict:6") == "not-sent"


def test_the_audit_log_has_what_was_in_doubt_of_a_removed_rule(context: Context, rule: int) -> None:
    rule_operations.remove(context, str(rule))
    [entry] = [it for it in audit_log.listing(context).rows if it.action == "rule.remove"]
    assert [it["message"] for it in entry.details["doubts"]] == [12, 13]


def test_a_dry_run_decides_nothing(context: Context, rule: int, redis: redis_module.Redis) -> None:
    from dataclasses import replace

    assert len(doubts.decide(replace(context, dry_run=True), str(rule))) == 2
    assert redis.hget(keys.pool(rule, TO), "verdict:6") is None


def test_what_is_no_doubt_is_not_decided(
    context: Context, rule: int, redis: redis_module.Redis
) -> None:
    with pytest.raises(NotFoundError, match="no such doubts"):
        doubts.decide(context, str(rule), message=99)
    with pytest.raises(UsageError, match="One copy is of one message"):
        doubts.decide(context, str(rule), sent=345)
    with pytest.raises(UsageError, match="a number above 0"):
        doubts.decide(context, str(rule), sent=-1, message=12)
    redis.delete(keys.pool(rule, TO))
    with pytest.raises(NotFoundError):
        doubts.decide(context, str(rule))
    assert doubts.listing(context, str(rule)) == []
