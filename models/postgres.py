"""Postgres as the tables use it: pooled connections on which nothing waits for ever.

The server bounds statements, locks and transactions that stand still. A server that is
suspended, or a network that swallows packets, bounds nothing: so each wait for an answer
has a deadline here as well, and the kernel probes idle connections.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from playhouse import db_url
from playhouse.postgres_ext import PooledPsycopg3Database, Psycopg3Database

from models.timeouts import Timeouts

_CONNECTIONS = 8
_GRACE_SECONDS = 1.0
"""How much longer than the server's own bound an answer may take."""
_KEEPALIVE = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is closed when an answer does not come in time."""

    answer_seconds: float | None = None
    """How long one answer may take; None: for ever."""

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """Wait for what ``gen`` yields; raises OperationalError after the deadline."""
        if self.answer_seconds is None:
            return super().wait(gen, *args, **kwargs)
        try:
            return super().wait(_bounded(gen, self.answer_seconds), *args, **kwargs)
        except _NoAnswerError:
            # The answer may still come: no other statement may take it for its own.
            self.pgconn.finish()
            raise


class _NoAnswerError(psycopg.OperationalError):
    """The server did not answer in time."""


class _BoundedPostgres(Psycopg3Database):  # type: ignore[misc]
    """Opens connections with time-outs."""

    timeouts: Timeouts

    def _connect(self) -> BoundedConnection:
        self._adapter.check_driver()
        bounds = self.timeouts
        milliseconds = int(bounds.lock * 1000)
        params: dict[str, Any] = {
            "dbname": self.database,
            "connect_timeout": max(2, round(bounds.connect)),
            "tcp_user_timeout": int(bounds.connect * 1000),
            **_KEEPALIVE,
            **self.connect_params,
        }
        connection = BoundedConnection.connect(**params, autocommit=True)
        connection.answer_seconds = bounds.connect + _GRACE_SECONDS
        connection.execute(
            "SELECT set_config('lock_timeout', %s, false),"
            " set_config('statement_timeout', %s, false),"
            " set_config('idle_in_transaction_session_timeout', %s, false)",
            (str(milliseconds), *[str(int(bounds.statement * 1000))] * 2),
        )
        connection.answer_seconds = bounds.statement + _GRACE_SECONDS
        return connection


class BoundedPooledPostgres(PooledPsycopg3Database, _BoundedPostgres):  # type: ignore[misc]
    """A pool of such connections: its ``_connect`` calls that of ``_BoundedPostgres``."""

    @contextmanager
    def unbounded(self) -> Iterator[None]:
        """Let statements of this thread take as long as they need, for the block."""
        connection = self.connection()
        names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
        before = [connection.execute(f"SHOW {it}").fetchone()[0] for it in names]
        seconds, connection.answer_seconds = connection.answer_seconds, None
        try:
            for name in names:
                connection.execute("SELECT set_config(%s, '0', false)", (name,))
            yield
        finally:
            if not connection.closed:
                connection.answer_seconds = seconds
                for name, value in zip(names, before, strict=True):
                    connection.execute("SELECT set_config(%s, %s, false)", (name, value))


def pooled(url: str, timeouts: Timeouts) -> BoundedPooledPostgres:
    """Return the database of a URL; it is not connected yet."""
    parts = db_url.parse(url, unquote_user=True, unquote_password=True)
    database = BoundedPooledPostgres(**{"max_connections": _CONNECTIONS, **parts})
    database.timeouts = timeouts
    return database


def _bounded(gen: Any, seconds: float) -> Generator[Any, Any, Any]:
    """Pass on what a generator of psycopg waits for, until the time is over.

    The driver wakes up from time to time with nothing ready, also while nothing arrives.
    """
    until = time.monotonic() + seconds
    try:
        awaited = next(gen)
        while True:
            ready = yield awaited
            if not ready and time.monotonic() > until:
                raise _NoAnswerError(f"no answer for {seconds:g} s")
            awaited = gen.send(ready)
    except StopIteration as done:
        return done.value
