"""Database errors: each known code has its own sentence, whatever the driver's words."""

from __future__ import annotations

import socket
import sqlite3
from pathlib import Path
from typing import Any

import peewee
import psycopg
import pytest

from afx.errors import AfxError, StorageError, UnreachableError
from models import base, schema
from models.errors import explained, translated
from models.storage import users
from models.timeouts import Timeouts


def of_postgres(kind: type[psycopg.Error]) -> AfxError | None:
    """Return what a person is told of an error that psycopg raises."""
    try:
        with peewee.__exception_wrapper__:
            raise kind("the driver's words")
    except peewee.PeeweeException as error:
        return explained(error)


@pytest.fixture
def sqlite(home: Path) -> Any:
    database = base.open_database(f"sqlite:///{home}/afx.db")
    schema.upgrade()
    yield database
    base.close_database()


def test_a_full_sqlite_disk_is_named_and_nothing_is_written(sqlite: Any) -> None:
    pages = base.execute("PRAGMA page_count").fetchone()[0]
    base.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="disk of the database is full"), base.transaction():
        for number in range(10_000):
            users.create(f"user-{number}", "free")
    base.execute("PRAGMA max_page_count = 1000000")
    assert users.listing().rows == []


def test_a_disk_that_is_full_when_a_reader_comes_is_named() -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    with pytest.raises(peewee.OperationalError) as raised, peewee.__exception_wrapper__:
        raise error
    assert "disk of the database is full" in str(explained(raised.value))


def test_a_read_only_sqlite_database_is_named(sqlite: Any) -> None:
    base.execute("PRAGMA query_only = 1")
    with pytest.raises(StorageError, match="read-only"), base.transaction():
        users.create("alice", "free")


def test_a_locked_sqlite_database_is_named(sqlite: Any, home: Path) -> None:
    base.execute("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(home / "afx.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(UnreachableError, match="locked"), base.transaction():
        users.create("alice", "free")
    other.close()


def test_a_file_that_is_no_database_is_named(home: Path) -> None:
    (home / "afx.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StorageError, match="not an SQLite database"):
        base.open_database(f"sqlite:///{home}/afx.db")


def test_a_damaged_sqlite_database_is_named(sqlite: Any, home: Path) -> None:
    path = home / "afx.db"
    base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    base.close_database()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(StorageError, match="damaged"), translated():
        base.open_database(f"sqlite:///{path}")
        users.listing()


def test_a_path_that_cannot_be_opened_is_named(home: Path) -> None:
    with pytest.raises(StorageError, match="cannot be opened"):
        base.open_database(f"sqlite:///{home}/missing/afx.db")


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        (psycopg.errors.DiskFull, StorageError, "full"),
        (psycopg.errors.ReadOnlySqlTransaction, StorageError, "takes no writes"),
        (psycopg.errors.InsufficientPrivilege, StorageError, "rights"),
        (psycopg.errors.TooManyConnections, UnreachableError, "max_connections"),
        (psycopg.errors.AdminShutdown, UnreachableError, "shutting down"),
        (psycopg.errors.DataCorrupted, StorageError, "damaged"),
        (psycopg.OperationalError, UnreachableError, "does not answer"),
    ],
)
def test_each_known_postgres_state_has_its_message(
    raised: type[psycopg.Error], kind: type[AfxError], words: str
) -> None:
    error = of_postgres(raised)
    assert type(error) is kind
    assert words in str(error)
    assert ("driver" in str(error)) == (words == "does not answer")


def test_a_broken_constraint_is_no_failure_of_the_database(database: Any) -> None:
    users.create("alice", "free")
    with pytest.raises(peewee.IntegrityError), translated():
        base.execute("INSERT INTO users (name, tier, created_at) VALUES ('alice', 'free', 1)")


def test_a_faulty_statement_does_not_count_as_a_missing_server(sqlite: Any) -> None:
    with pytest.raises(StorageError, match="refused a statement"), translated():
        base.execute("SELECT * FROM nothing")


def test_a_postgres_that_never_answers_is_given_up_after_a_time() -> None:
    bounds = Timeouts(connect=2.0, statement=2.0, lock=2.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(UnreachableError, match="does not answer"):
            base.open_database(f"postgresql://afx@127.0.0.1:{silent.getsockname()[1]}/afx", bounds)
