"""What several tests of the data layer need."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import peewee

from models import base


def together(count: int, act: Callable[[int], None]) -> None:
    """Run an act on several threads at once, each with its own connection."""
    begin = threading.Barrier(count)
    failed: list[BaseException] = []

    def run(number: int) -> None:
        try:
            with base.proxy.connection_context():
                begin.wait()
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
    """Edit the audit log behind its back, as only the database's owner can."""
    if isinstance(database, peewee.SqliteDatabase):
        for name in ("audit_log_no_update", "audit_log_no_delete"):
            database.execute_sql(f"DROP TRIGGER {name}")
    else:
        database.execute_sql("ALTER TABLE audit_log DISABLE TRIGGER USER")
    yield
