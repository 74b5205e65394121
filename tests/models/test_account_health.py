"""The health of accounts as it is stored, on SQLite and on Postgres."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from afx.errors import UsageError
from models.storage import account_health, sessions
from models.storage.account_health import HealthRow
from models.storage.sessions import SessionFilter

THEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_only_accounts_that_are_not_healthy_are_returned(ids: list[int]) -> None:
    assert account_health.unhealthy() == []
    limited = HealthRow(ids[0], "limited", THEN, THEN, "PEER_FLOOD")
    long = HealthRow(ids[1], "frozen", THEN, THEN, "x" * 500)
    account_health.note([limited, long])
    found = {it.session_id: it for it in account_health.unhealthy()}
    assert found[ids[0]] == limited
    assert len(found[ids[1]].error) == 200
    account_health.note([HealthRow(ids[0], "healthy", THEN, THEN)])
    assert [it.session_id for it in account_health.unhealthy()] == [ids[1]]


def test_sessions_are_listed_by_the_health_of_their_accounts(ids: list[int]) -> None:
    account_health.note([HealthRow(ids[1], "frozen", THEN, THEN, "FROZEN_METHOD_INVALID")])
    [row] = sessions.listing(SessionFilter(health="frozen")).rows
    assert (row["id"], row["health_error"]) == (ids[1], "FROZEN_METHOD_INVALID")
    assert len(sessions.listing(SessionFilter(health="healthy")).rows) == 2
    with pytest.raises(UsageError, match="There is no health 'well'"):
        sessions.listing(SessionFilter(health="well"))
