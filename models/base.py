"""The database: connecting, time fields, the base of all tables."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import peewee
from peewee import DatabaseProxy, Model, SqliteDatabase, TextField

from afx.errors import ConfigError
from models.errors import UnstorableError, translated
from models.timeouts import FOR_COMMANDS, Timeouts

proxy = DatabaseProxy()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
DATABASE_ERRORS = (peewee.OperationalError, peewee.InterfaceError, peewee.InternalError)
"""What a database raises that is gone, came back, or takes no writes for a while.

``InternalError`` is Postgres's for a server that has become read-only.
"""

REFUSED_DATA_ERRORS = (
    peewee.DataError,
    peewee.IntegrityError,
    UnstorableError,
    OverflowError,
    ValueError,
)
"""What is raised when a database cannot take a value: too long, too large, no such row.

Drivers raise ``ValueError`` for what they cannot encode, ``OverflowError`` for what is
beyond 64 bits.
"""


class UtcField(peewee.BigIntegerField):  # type: ignore[misc]
    """An instant: aware UTC in Python, microseconds since 1970 in the table.

    One number that sorts, compares and survives time zones alike on SQLite and
    Postgres.
    """

    def db_value(self, value: datetime | None) -> int | None:
        """Return the stored number; raises ValueError for a naive datetime."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime cannot be stored")
        return micros(value)

    def python_value(self, value: int | None) -> datetime | None:
        """Return the instant as an aware UTC datetime."""
        return None if value is None else instant(value)


class JsonField(TextField):  # type: ignore[misc]
    """A JSON value, kept as text: the same on SQLite and Postgres."""

    def db_value(self, value: Any) -> str | None:
        """Return the value as compact JSON."""
        return None if value is None else json.dumps(value, separators=(",", ":"))

    def python_value(self, value: str | None) -> Any:
        """Return the value that the text holds."""
        if value == "{}":  # most of them, and read for each row of a page
            return {}
        return None if value is None else json.loads(value)


class Table(Model):  # type: ignore[misc]
    """The base of all tables."""

    class Meta:
        """All tables share one database."""

        database = proxy
        legacy_table_names = False


def one_of(column: str, values: Iterable[str]) -> peewee.Check:
    """Return a constraint: a column takes these values only."""
    return peewee.Check(f"{column} IN ({', '.join(repr(it) for it in values)})")


def utc_now() -> datetime:
    """Return now, aware."""
    return datetime.now(UTC)


def open_database(url: str, timeouts: Timeouts = FOR_COMMANDS) -> Any:
    """Connect to a database URL and make it the one that all tables use.

    Raises ConfigError for a URL of another kind, UnreachableError when the
    database does not answer, StorageError when it cannot be opened.
    """
    parts = _split(url)
    database: Any
    if parts.scheme == "sqlite":
        file = sqlite_file(url)
        if file is not None:
            _create_private(file)
        database = SqliteDatabase(
            str(file or ":memory:"),
            lock_type="IMMEDIATE",
            timeout=timeouts.lock,
            pragmas={
                "journal_mode": "wal",
                "foreign_keys": 1,
                # With "normal" a power cut may undo commits: an assignment whose
                # session a node runs already.
                "synchronous": "full",
                "busy_timeout": int(timeouts.lock * 1000),
            },
        )
    elif parts.scheme in ("postgresql", "postgres"):
        from models.postgres import pooled

        database = pooled(url, timeouts)
    else:
        raise ConfigError(
            f"A database URL begins with sqlite:/// or postgresql://, not with "
            f"{parts.scheme + ':' if parts.scheme else 'another text'}; correct AFX_DATABASE_URL."
        )
    with translated():
        database.connect()
    proxy.initialize(database)
    return database


def is_open() -> bool:
    """Return whether this thread has a connection to a database."""
    return proxy.obj is not None and not proxy.is_closed()


def sqlite_file(url: str) -> Path | None:
    """Return the file of a SQLite URL; None for one in memory, and for Postgres.

    Raises ConfigError for what is not a URL.
    """
    parts = _split(url)
    path = parts.path[1:] if parts.path.startswith("//") else parts.path
    return Path(path) if parts.scheme == "sqlite" and path not in ("", ":memory:") else None


def _split(url: str) -> SplitResult:
    """Return the parts of a URL; ConfigError when its host or port is not valid."""
    try:
        parts = urlsplit(url)
        # Reading the port is what checks it.
        _ = parts.port
    except ValueError as error:
        raise ConfigError(
            "The database URL has a host or a port that is not valid; correct AFX_DATABASE_URL."
        ) from error
    return parts


def _create_private(file: Path) -> None:
    """Create a database's file if it is missing, readable by its owner only.

    SQLite gives the files beside it (``-wal``, ``-shm``) the same mode. What
    prevents the creation is reported when SQLite opens the file.
    """
    with suppress(OSError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def reopen_database() -> None:
    """Drop the connections there are, and open a new one.

    Raises UnreachableError, or StorageError, while the database is away.
    """
    with translated():
        # A connection that is open may lead to a server that was replaced.
        with suppress(*DATABASE_ERRORS):
            close_database()
        proxy.connect(reuse_if_open=True)


def close_database() -> None:
    """Close the database that is open, if any."""
    if proxy.obj is not None and not proxy.is_closed():
        proxy.close()
        close_all = getattr(proxy.obj, "close_all", None)
        if close_all:
            close_all()


@contextmanager
def transaction(*, keep: bool = True) -> Iterator[None]:
    """Commit what the block writes, or nothing of it; nothing when not ``keep``.

    Raises UnreachableError, or StorageError, when the database fails meanwhile.
    """
    with translated(), proxy.atomic() as atomic:
        yield
        if not keep:
            atomic.rollback()


def in_transaction() -> bool:
    """Return whether this thread is in a transaction: what it has written is not committed."""
    return bool(proxy.in_transaction())


@contextmanager
def unbounded() -> Iterator[None]:
    """Let statements of this thread take as long as they need, for the block."""
    if is_postgres():
        with proxy.obj.unbounded():
            yield
    else:
        yield


def execute_many(statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Run one statement, written with ``?``, for many rows; inside a transaction."""
    if rows:
        with peewee.__exception_wrapper__:
            proxy.cursor().executemany(statement.replace("?", proxy.param), rows)


def insert_many(table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Append rows to a table, as fast as the database can; inside a transaction.

    Postgres takes them as one COPY. Values are as the table stores them.
    """
    if not rows:
        return
    names = ", ".join(columns)
    if is_postgres():
        with peewee.__exception_wrapper__:
            with proxy.cursor().copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        return
    marks = ", ".join("?" * len(columns))
    execute_many(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)


def execute(statement: str, *values: Any) -> Any:
    """Run one statement, written with ``?``; returns the cursor."""
    return proxy.execute_sql(statement.replace("?", proxy.param), values)


def is_postgres() -> bool:
    """Return whether the database that is open is Postgres."""
    return isinstance(proxy.obj, peewee.PostgresqlDatabase)


def micros(value: datetime) -> int:
    """Return an instant as UtcField stores it, for raw statements."""
    return (value - _EPOCH) // _MICROSECOND


def instant(value: int) -> datetime:
    """Return the instant of a number that UtcField stored."""
    return _EPOCH + timedelta(microseconds=value)
