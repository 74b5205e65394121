"""What an operator is shown of an account's budgets."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_module
from support.databases import prepare

from afx.app import ProcessServers
from afx.cluster import keys
from afx.config import load
from afx.errors import NotFoundError
from afx.operations.context import Actor, Context
from afx.operations.session_budgets import budgets
from models.storage import sessions, users
from models.storage.sessions import NewSession


@pytest.fixture
def context(home: Path, redis_url: str) -> Iterator[Context]:
    prepare(home)
    with ProcessServers(load(home=home, redis_url=redis_url)) as servers:
        servers.open_database(create=True)
        sessions.create_many(users.create("alice"), [NewSession("main", "sealed")])
        yield servers.context(Actor("test"))


def test_budgets_are_shown_as_they_are_now_and_malformed_ones_are_not(
    context: Context, redis: redis_module.Redis
) -> None:
    session = sessions.find("main")
    now = int(time.time())
    fields = {f"outbox:{it}:1": "x" for it in range(3_000)}
    fields |= {
        "budget:-1005": f"10.000:{now - 60}",
        "budget:0": f"5.000:{now - 3_700}",
        "budget:messages.GetHistory": f"5.000:{now - 7 * 3_600}",
        "budget:-1006": "x",
        "budget:joins": f"2.500:{now}:{now + 60}",
    }
    redis.hset(keys.cursor(session.id), mapping=fields)
    found = {it.of: (it.per_minute, it.left) for it in budgets(context, "main")}
    assert found == {"-1005": (10.0, None), "all sends": (10.0, None), "joins": (None, 2)}


def test_a_cursor_of_a_wrong_type_has_none(context: Context, redis: redis_module.Redis) -> None:
    redis.set(keys.cursor(sessions.find("main").id), "x")
    assert budgets(context, "main") == ()


def test_a_customer_sees_none_of_another_ones(context: Context) -> None:
    users.create("bob")
    other = context.servers.context(Actor("token", owner="bob"))  # type: ignore[attr-defined]
    with pytest.raises(NotFoundError):
        budgets(other, "main")
