"""Migrations to the schema that this version needs.

Every command compares names: what migrates is imported only by those that do.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

import peewee

from afx.errors import AfxError
from models.base import proxy, unbounded

_DIRECTORY = Path(__file__).parent / "migrations"
_TABLE = "schema_migration"
"""Where ``Runner`` notes what it has applied."""
_ADVISORY_LOCK = 0x61_66_78


def upgrade() -> list[str]:
    """Apply pending migrations, one process at a time; returns their names."""
    with _one_at_a_time():
        applied: list[str] = _runner().up()
        return applied


def downgrade(target: str | None = None) -> list[str]:
    """Revert the newest migration, or all down to and including ``target``."""
    with _one_at_a_time():
        reverted: list[str] = _runner().down(target)
        return reverted


def pending() -> list[str]:
    """Return the names of migrations that this database lacks, in order."""
    there = _in_database()
    return [it for it in _needed() if it not in there]


def applied() -> list[str]:
    """Return the names of the migrations that this database has, in order."""
    return [it.name for it in _runner().status() if it.applied]


def status() -> list[dict[str, Any]]:
    """Return every migration with the instant at which it was applied, or None."""
    # The library stores the local time of the process that applied it.
    return [
        {"name": it.name, "applied_at": it.applied and it.applied.astimezone(UTC)}
        for it in _runner().status()
    ]


def check() -> None:
    """Raise AfxError when the database's schema is not this version's."""
    unknown = sorted(_in_database().difference(_needed()))
    if unknown:
        raise AfxError(
            f"The database has the migration {unknown[-1]} of a newer afx; update this one."
        )
    missing = pending()
    if missing:
        raise AfxError(
            f"The database lacks {len(missing)} migration(s); run 'afx db upgrade' first."
        )


def _needed() -> list[str]:
    """Return the names of the migrations of this version, in order."""
    return sorted(it.stem for it in _DIRECTORY.glob("[0-9]*.py"))


def _in_database() -> set[str]:
    """Return the names of the migrations that this database has."""
    if not proxy.table_exists(_TABLE):
        return set()
    return {name for (name,) in proxy.execute_sql(f"SELECT name FROM {_TABLE}")}


def _runner() -> Any:
    from playhouse.migrations import Runner

    return Runner(proxy.obj, str(_DIRECTORY), _TABLE)


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    database = proxy.obj
    if isinstance(database, peewee.SqliteDatabase):
        if database.database == ":memory:":
            yield
            return
        lock = os.open(f"{database.database}.lock", os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(lock, "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    with database.connection_context() if database.is_closed() else contextlib.nullcontext():
        # An index of a large table takes its time, and so does another process's migration.
        with unbounded():
            database.execute_sql("SELECT pg_advisory_lock(%s)", (_ADVISORY_LOCK,))
            try:
                yield
            finally:
                database.execute_sql("SELECT pg_advisory_unlock(%s)", (_ADVISORY_LOCK,))
