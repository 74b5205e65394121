"""Connections to Postgres on which nothing waits for ever."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import psycopg
import pytest

from afx.errors import StorageError, UnreachableError
from models import base
from models.storage import cluster
from models.timeouts import Timeouts


@pytest.fixture
def url(_postgres: str) -> Iterator[str]:
    base.open_database(_postgres, Timeouts(connect=2.0, statement=0.5, lock=0.2))
    base.execute("DROP TABLE IF EXISTS t")
    base.execute("CREATE TABLE t (id integer)")
    yield _postgres
    base.close_database()


def test_a_statement_that_takes_too_long_is_ended(url: str) -> None:
    del url
    with pytest.raises(UnreachableError, match="took too long"), base.transaction():
        base.execute("SELECT pg_sleep(60)")
    assert base.execute("SELECT 1").fetchone() == (1,)


def test_a_lock_is_not_waited_for_for_ever(url: str) -> None:
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE t")
        with pytest.raises(UnreachableError, match="keeps a lock"), base.transaction():
            base.execute("INSERT INTO t VALUES (1)")


def test_a_transaction_that_stands_still_loses_its_locks(url: str) -> None:
    """A leader that was suspended inside a transaction must not block the next one."""
    with pytest.raises(UnreachableError):
        with base.transaction():
            base.execute("LOCK TABLE t")
            with psycopg.connect(url) as other:
                other.execute("LOCK TABLE t")  # waits until the server has ended ours
            base.execute("SELECT 1")


def test_a_server_that_does_not_answer_is_given_up(url: str) -> None:
    """Its process is suspended: no bound of the server itself helps."""
    del url
    [pid] = base.execute("SELECT pg_backend_pid()").fetchone()
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(UnreachableError, match="does not answer"), base.transaction():
            base.execute("SELECT 1")
    finally:
        os.kill(pid, signal.SIGCONT)
    base.reopen_database()
    assert base.execute("SELECT 1").fetchone() == (1,)


def test_long_work_of_a_command_is_unbounded_and_only_that(url: str) -> None:
    del url
    with base.unbounded():
        base.execute("SELECT pg_sleep(0.7)")
    with pytest.raises(UnreachableError), base.transaction():
        base.execute("SELECT pg_sleep(60)")


def test_a_server_that_became_read_only_counts_as_away(url: str) -> None:
    del url
    base.execute("SET default_transaction_read_only = on")
    with pytest.raises(base.DATABASE_ERRORS):
        base.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(StorageError, match="takes no writes"), base.transaction():
        base.execute("INSERT INTO t VALUES (1)")


def test_a_leader_may_lose_one_statement_within_a_tick() -> None:
    bounds = Timeouts.within(8.0)
    assert bounds.connect + bounds.statement < 8.0
    assert bounds.lock < bounds.statement


def test_the_database_says_whether_it_takes_writes(database: object) -> None:
    del database
    cluster.check_writable()
    base.execute(
        "SET default_transaction_read_only = on" if base.is_postgres() else "PRAGMA query_only = 1"
    )
    with pytest.raises(StorageError):
        cluster.check_writable()
