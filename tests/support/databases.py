"""For tests of the data layer: concurrent writers, and edits that the schema forbids."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import peewee

from models import base


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
