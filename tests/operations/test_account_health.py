"""What an operator sees of an account that Telegram lets do less."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.databases import prepare

from afx.app import ProcessServers
from afx.config import load
from afx.operations import sessions
from afx.operations.context import Actor, Context
from models.base import utc_now
from models.storage import account_health, users
from models.storage import sessions as stored
from models.storage.account_health import HealthRow
from models.storage.sessions import NewSession, SessionFilter


@pytest.fixture
def context(home: Path) -> Iterator[Context]:
    prepare(home)
    with ProcessServers(load(home=home)) as servers:
        servers.open_database(create=True)
        rows = [NewSession(it, "sealed", it) for it in ("well", "ill")]
        _, ill = stored.create_many(users.create("alice"), rows)
        account_health.note([HealthRow(ill, "limited", utc_now(), utc_now(), "PEER_FLOOD")])
        yield servers.context(Actor("test"))


def test_an_account_is_shown_with_its_evidence_and_what_to_do(context: Context) -> None:
    found = sessions.show(context, "ill")
    assert (found.session.health, found.session.health_error) == ("limited", "PEER_FLOOD")
    assert "@SpamBot" in found.advice
    assert sessions.show(context, "well").advice == ""


def test_sessions_are_found_by_the_health_of_their_accounts(context: Context) -> None:
    rows = sessions.listing(context, SessionFilter(health="limited")).rows
    assert [it.name for it in rows] == ["ill"]


def test_an_account_that_was_signed_in_lately_is_new_and_others_are_not(context: Context) -> None:
    rows = [
        NewSession("fresh", "sealed", "fresh", account=5),
        NewSession("robot", "sealed", "robot", account=6, bot=True),
        NewSession("sick", "sealed", "sick", account=7),
    ]
    *_, sick = stored.create_many(users.find("alice"), rows)
    account_health.note([HealthRow(sick, "frozen", utc_now(), utc_now(), "FROZEN")])
    found = sessions.show(context, "fresh")
    assert (found.session.health, found.session.health_since) == (
        "new",
        found.session.created_at,
    )
    assert "new_account_days" in found.advice
    others = [sessions.show(context, it).session.health for it in ("well", "robot", "sick")]
    assert others == ["healthy", "healthy", "frozen"]
    assert sessions.listing(context, SessionFilter(health="healthy")).rows
