"""For tests of the data layer: concurrent writers, and edits that the schema forbids."""

from __future__ import annotations

import contextlib
import functools
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import peewee

from models import base, schema


def open_sqlite(home: Path) -> Any:
    """Open the database of an empty home, with the schema and no rows."""
    prepare(home)
    return base.open_database(f"sqlite:///{home}/afx.db")


def prepare(home: Path) -> None:
    """Give an empty home a database with the schema: a copy of one that was migrated once."""
    path = home / "afx.db"
    path.write_bytes(_migrated())
    path.chmod(0o600)


@functools.cache
def _migrated() -> bytes:
    home = Path(tempfile.mkdtemp(prefix="afx-d-"))
    base.open_database(f"sqlite:///{home}/afx.db")
    schema.upgrade()
    base.close_database()
    data = (home / "afx.db").read_bytes()
    shutil.rmtree(home)
    return data


def together(count: int, act: Callable[[int], None]) -> None:
    """Run ``act`` on several threads at once, each with its own connection."""
    barrier = threading.Barrier(count)
    failed: list[BaseException] = []

    def run(number: int) -> None:
        try:
            with base.proxy.connection_context():
                barrier.wait()
                act(number)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for it in threads:
        it.start()
    for it in threads:
        it.join()
    assert not failed, failed


@contextlib.contextmanager
def unguarded(database: Any) -> Iterator[None]:
    """Let the block edit the audit log, as only the owner of the database can."""
    if isinstance(database, peewee.SqliteDatabase):
        for name in ("audit_log_no_update", "audit_log_no_delete"):
            database.execute_sql(f"DROP TRIGGER {name}")
    else:
        database.execute_sql("ALTER TABLE audit_log DISABLE TRIGGER USER")
    yield
