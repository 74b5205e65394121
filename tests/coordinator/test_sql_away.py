"""A leader whose SQL is away: it observes the nodes, and keeps its term."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import peewee
import psycopg
import pytest
from support.term_harness import TermHarness, add, placed, running

from afx.cluster.leadership import Leadership
from afx.coordinator.fencing import fenced_transaction
from afx.errors import FencedError
from models import base, schema
from models.storage import assignments, cluster, sessions
from models.tables import ClusterState
from models.timeouts import Timeouts

SHORT = Timeouts(connect=2.0, statement=2.0, lock=0.001)


@dataclass
class Database:
    """A database that a test can take away, and give back."""

    take_away: Callable[[], None]
    give_back: Callable[[], None]


@contextlib.contextmanager
def locked_sqlite(home: Path) -> Iterator[Database]:
    """Another process keeps the write lock."""
    url = f"sqlite:///{home}/afx.db"
    base.open_database(url, SHORT)
    schema.upgrade()
    other = sqlite3.connect(home / "afx.db", isolation_level=None)
    yield Database(lambda: other.execute("BEGIN IMMEDIATE").close(), other.rollback)
    other.close()


@contextlib.contextmanager
def read_only_postgres(url: str) -> Iterator[Database]:
    """The server takes no writes, as after a failover to a replica: it raises InternalError."""
    database = base.open_database(url)
    try:
        database.execute_sql("DROP SCHEMA public CASCADE")
        database.execute_sql("CREATE SCHEMA public")
        schema.upgrade()
    finally:
        base.close_database()
    base.open_database(url, SHORT)

    def set_read_only(value: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute(
                f"ALTER SYSTEM SET default_transaction_read_only = {value}"  # type: ignore[arg-type]
            )
            connection.execute("SELECT pg_reload_conf()")
        _wait_read_only(url, value)

    yield Database(lambda: set_read_only("on"), lambda: set_read_only("off"))
    set_read_only("off")


def _wait_read_only(url: str, value: str) -> None:
    while True:
        with psycopg.connect(url, autocommit=True) as connection:
            found = connection.execute("SHOW default_transaction_read_only").fetchone()
        if found == (value,):
            return


@pytest.fixture(params=["sqlite", "postgres"])
def sql(request: pytest.FixtureRequest, home: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        opened = locked_sqlite(home)
    else:
        opened = read_only_postgres(request.getfixturevalue("_postgres"))
    with opened as database:
        yield database
        base.close_database()


@pytest.fixture
def harness(home: Path, redis_url: str, sql: Database) -> Iterator[TermHarness]:
    del sql
    harness = TermHarness(home, redis_url)
    yield harness
    harness.close()


def states(harness: TermHarness) -> dict[str, str]:
    return {it.name: it.state for it in harness.registry.all()}


@pytest.mark.parametrize("seconds", [60.0, 600.0])
def test_deaths_are_seen_while_sql_is_away_and_handled_as_soon_as_it_is_back(
    harness: TermHarness, sql: Database, seconds: float
) -> None:
    harness.add_node("w1")
    made = add("alice", 3)
    harness.until(lambda: running() == set(made))
    harness.add_node("w2")
    harness.until(lambda: "w2" in harness.assigned())
    before, generation = assignments.active(), ClusterState.get_by_id(1).generation
    sql.take_away()
    away_until = harness.now + seconds
    harness.kill_node("w1")
    while harness.now < away_until:
        harness.tick(seconds=0.4)
    assert states(harness) == {"w1": "fenced", "w2": "ready"}
    assert assignments.active() == before
    sql.give_back()
    back_at = harness.now
    harness.until(lambda: placed() == dict.fromkeys(made, "w2"))
    assert harness.now - back_at <= 2.0
    harness.until(lambda: running() == set(made))
    assert ClusterState.get_by_id(1).generation == generation
    assert cluster.term() == harness.leadership.term
    assert not harness.ran_twice


def test_sessions_run_on_while_sql_is_away(harness: TermHarness, sql: Database) -> None:
    harness.add_node("w1")
    made = add("alice", 3)
    harness.until(lambda: running() == set(made))
    # A new leader orders everything once more.
    harness.until(lambda: all(len(harness.sent("start", it)) == 2 for it in made))
    orders = len(harness.orders.sent)
    sql.take_away()
    for _ in range(100):
        harness.tick()
    assert len(harness.orders.sent) == orders
    sql.give_back()
    harness.until(lambda: not harness.term.waits_for_sql)
    assert running() == set(made)


def test_a_newer_term_in_sql_ends_the_term_when_sql_is_back(
    harness: TermHarness, sql: Database
) -> None:
    harness.add_node("w1")
    add("alice", 1)
    sql.take_away()
    while not harness.term.waits_for_sql:
        harness.tick()
    sql.give_back()
    cluster.begin_generation(harness.leadership.term + 1)
    with pytest.raises(FencedError):
        harness.until(lambda: False)


# --- commits whose answer is lost ---------------------------------------------------------


class LostAnswer:
    """Lets the commit that first comes fail, after or instead of the real one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, committed: bool) -> None:
        self._committed = committed
        self._commit = base.proxy.obj.commit
        self.is_due: Callable[[], bool] = lambda: False
        self.count = 0
        monkeypatch.setattr(base.proxy.obj, "commit", self._lose)

    def _lose(self) -> Any:
        if self.is_due() and not self.count:
            self.count += 1
            if self._committed:
                self._commit()
            raise peewee.OperationalError("the connection was lost")
        return self._commit()


@pytest.mark.parametrize("committed", [True, False])
def test_a_placement_whose_commit_is_in_doubt_is_settled(
    harness: TermHarness, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    harness.add_node("w1")
    harness.until(lambda: "w1" in harness.assigned())
    lost = LostAnswer(monkeypatch, committed=committed)
    lost.is_due = lambda: bool(assignments.active())
    [session] = add("alice", 1)
    harness.until(lambda: running() == {session})
    assert lost.count == 1
    [active] = assignments.active()
    assert {it.epoch for it in harness.sent("start", session)} == {active.epoch}
    assert harness.assigned() == {"w1": 1}
    assert not harness.ran_twice


@pytest.mark.parametrize("committed", [True, False])
def test_a_stop_whose_commit_is_in_doubt_is_carried_out(
    harness: TermHarness, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    harness.add_node("w1")
    [session] = add("alice", 1)
    harness.until(lambda: running() == {session})
    lost = LostAnswer(monkeypatch, committed=committed)
    sessions.set_desired_state(sessions.find(str(session)), "paused")
    lost.is_due = lambda: {it.state for it in assignments.active()} == {"stopping"}
    harness.until(lambda: not assignments.active())
    assert lost.count == 1
    assert harness.assigned() == {"w1": 0}


# --- a standby that lacks the last commits --------------------------------------------------


def test_a_term_ends_when_the_database_has_lost_commits_that_it_made() -> None:
    base.open_database("sqlite://")
    schema.upgrade()
    database = base.proxy.obj.connection()
    leadership = cast(Leadership, SimpleNamespace(term=1, commits=0, check=lambda: None))
    with fenced_transaction(leadership):
        pass
    standby = database.serialize()
    with fenced_transaction(leadership):
        pass
    database.deserialize(standby)
    with pytest.raises(FencedError), fenced_transaction(leadership):
        pytest.fail("the memory of the leader differs from the database")
    base.close_database()


def test_commits_that_are_lost_before_the_first_one_of_a_term_end_it(
    home: Path, redis_url: str
) -> None:
    base.open_database(f"sqlite:///{home}/afx.db")
    schema.upgrade()
    harness = TermHarness(home, redis_url)
    ClusterState.update(commits=ClusterState.commits - 1).execute()
    harness.add_node("w1")
    add("alice", 1)
    with pytest.raises(FencedError):
        harness.until(lambda: bool(running()))
    harness.close()
    base.close_database()
