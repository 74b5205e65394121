"""The real database, in memory: it can fail, lose its last commits, or lose an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import peewee
from greenlet import GreenletExit
from simulation.hub import Hub, Process

from models import base, schema
from models.storage import rules, sessions, users
from models.storage.rules import NewRule
from models.storage.sessions import NewSession


class Sql:
    """SQLite as the coordinators of a schedule share it."""

    _fresh: bytes = b""
    """The file of a database with its schema and nothing else."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.fails_until = 0.0
        """Until then every statement fails."""
        self.loses_answers_until = 0.0
        """Until then a commit is made and its answer is lost."""
        self._broken: set[int] = set()
        """Processes whose connection is lost: their next statement fails."""
        self._hangs: dict[int, float] = {}
        """Process → how long its next statement takes."""
        database = base.open_database("sqlite://")
        if self._fresh:
            database.connection().deserialize(self._fresh)
        else:
            schema.upgrade()
            Sql._fresh = database.connection().serialize()
        self._database = database
        self._execute, self._cursor = database.execute_sql, database.cursor
        self._commit = database.commit
        database.execute_sql = self._guarded(self._execute)
        database.cursor = self._guarded(self._cursor)
        database.commit = self._guarded_commit
        hub.before_block = self._check_no_transaction

    def add_sessions(self, count: int, login: Callable[[int], str]) -> list[int]:
        """Add a user with sessions that should run; returns their ids."""
        expected = range(1, count + 1)
        found = sessions.create_many(
            users.create("ana"), [NewSession(f"s{it}", login(it)) for it in expected]
        )
        assert found == list(expected), "a login is sealed for its session"
        rules.create_many([NewRule(it, "r", ["-1001"], ["-1002"]) for it in found])
        return found

    def snapshot(self) -> bytes:
        """Return all that is committed."""
        return bytes(self._database.connection().serialize())

    def restore(self, snapshot: bytes) -> None:
        """Lose what was committed since a snapshot."""
        self._database.connection().deserialize(snapshot)

    def break_connections(self, processes: Iterable[Process]) -> None:
        """Let the next statement of each process fail."""
        self._broken = {it.pid for it in processes}

    def hang(self, process: Process, seconds: float) -> None:
        """Let the next statement of a process take so long."""
        self._hangs[process.pid] = seconds

    def close(self) -> None:
        """Close the database."""
        base.close_database()

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query, whatever fails for the others."""
        return list(self._execute(statement).fetchall())

    def _guarded(self, call: Any) -> Any:
        def guarded(*arguments: Any, **options: Any) -> Any:
            self._check_process()
            if process := self._hub.current:
                self._upset(process)
            return call(*arguments, **options)

        return guarded

    def _upset(self, process: Process) -> None:
        if process.pid in self._hangs and not self._in_transaction():
            self._hub.sleep(self._hangs.pop(process.pid))
        if process.pid in self._broken:
            self._broken.discard(process.pid)
            raise peewee.OperationalError("server closed the connection unexpectedly")
        if self._hub.now < self.fails_until:
            raise peewee.OperationalError("disk I/O error")

    def _guarded_commit(self) -> Any:
        self._check_process()
        result = self._commit()
        if self._hub.current and self._hub.now < self.loses_answers_until:
            raise peewee.OperationalError("server closed the connection unexpectedly")
        return result

    def _check_process(self) -> None:
        process: Process | None = self._hub.current
        if process is not None and not process.alive:
            raise GreenletExit

    def _check_no_transaction(self) -> None:
        assert not self._in_transaction(), "a transaction must not wait for anything"

    def _in_transaction(self) -> bool:
        """Whether a transaction is open; peewee's own answer is no once it commits."""
        return bool(self._database.connection().in_transaction)
