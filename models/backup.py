"""Backups: a consistent snapshot in a file that SQLite and Postgres both read.

The file is gzip over lines of JSON: a header, then for each table its columns
and rows, then a line with the count and the SHA-256 of everything before it.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import secrets
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peewee

from afx.errors import AfxError, UsageError
from models import schema
from models.base import (
    Table,
    execute,
    insert_many,
    is_postgres,
    proxy,
    transaction,
    utc_now,
)
from models.storage import assignments
from models.tables import ALL, ClusterState

FORMAT = 1
_ROWS_AT_ONCE = 2_000
_LINE_MOST = 64 * 1024 * 1024
Progress = Callable[[str, int], None]
"""Called with the current table and the number of rows done."""


@dataclass(slots=True, frozen=True)
class Contents:
    """The contents of a backup."""

    created_at: str
    database: str
    migrations: list[str]
    tables: dict[str, int]

    @property
    def rows(self) -> int:
        """All rows of all tables."""
        return sum(self.tables.values())


def write(path: Path, progress: Progress, *, overwrite: bool = False) -> Contents:
    """Write a backup while others read and write.

    The file gets its name when it is complete, and only its owner may read it.
    Raises UsageError when it exists, AfxError when it cannot be written.
    """
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists; choose another name, or give --overwrite.")
    # A name that nobody knows before, and a new file: another user who may write to the
    # directory can neither prepare it nor lead it elsewhere.
    partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}.partial")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        descriptor = os.open(partial, flags, 0o600)
        with os.fdopen(descriptor, "wb") as raw:
            with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=3) as packed:
                contents = _dump(packed, progress)
            raw.flush()
            os.fsync(raw.fileno())
        partial.replace(path)
    except OSError as error:
        raise AfxError(
            f"The backup cannot be written to {path} ({error.strerror or error}); "
            "no file of that name was changed."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
    return contents


def check(path: Path) -> Contents:
    """Read a backup completely; raises UsageError when it is damaged or is no backup."""
    contents: Contents | None = None
    tables: dict[str, int] = {}
    current = ""
    for kind, value in _lines(path):
        if kind == "header":
            contents = Contents(value["created_at"], value["database"], value["migrations"], tables)
        elif kind == "table":
            current = value["table"]
            tables[current] = 0
        elif kind == "row":
            tables[current] += 1
    assert contents is not None  # _lines refuses a file without a header
    return contents


def restore(path: Path, progress: Progress) -> Contents:
    """Replace the contents of the database with a backup, completely or not at all.

    All assignments are ended: the caller makes sure that no session runs.
    Raises UsageError for a damaged file and for one of another schema.
    """
    contents = check(path)
    applied = schema.applied()
    if contents.migrations != applied:
        raise UsageError(
            f"The backup has the schema {contents.migrations[-1]}, this database "
            f"{applied[-1] if applied else 'none'}; bring both to the same with the afx version "
            "that made the backup."
        )
    with transaction(), _audit_unguarded():
        before = ClusterState.get_by_id(1)
        for table in reversed(ALL):
            execute(f"DELETE FROM {_shape(table)[0]}")
        _load(path, progress)
        assignments.end_all("restored from a backup")
        _raise_counters(before)
        _reset_sequences()
    return contents


def _dump(file: Any, progress: Progress) -> Contents:
    digest = hashlib.sha256()

    def put(value: Any) -> None:
        line = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        digest.update(line)
        file.write(line)

    total = 0
    counts: dict[str, int] = {}
    with _snapshot():
        header = {
            "afx_backup": FORMAT,
            "created_at": utc_now().isoformat(),
            "database": "postgresql" if is_postgres() else "sqlite",
            "migrations": schema.applied(),
        }
        put(header)
        for table in ALL:
            name, columns, _ = _shape(table)
            put({"table": name, "columns": columns})
            counts[name] = 0
            for rows in _batches(table):
                for row in rows:
                    put(row)
                counts[name] += len(rows)
                total += len(rows)
                progress(name, total)
    put({"rows": total, "sha256": digest.hexdigest()})
    return Contents(str(header["created_at"]), str(header["database"]), schema.applied(), counts)


@contextlib.contextmanager
def _snapshot() -> Iterator[None]:
    """Read one snapshot of the database in the block, without blocking writers."""
    if is_postgres():
        with proxy.transaction():
            execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield
    else:
        with proxy.transaction("DEFERRED"):
            yield


def _batches(table: type[Table]) -> Iterator[list[list[Any]]]:
    name, columns, key = _shape(table)
    position = columns.index(key)
    chosen = f"SELECT {', '.join(columns)} FROM {name}"
    order = f"ORDER BY {key} LIMIT {_ROWS_AT_ONCE}"
    rows = [list(it) for it in execute(f"{chosen} {order}").fetchall()]
    while rows:
        yield rows
        last = rows[-1][position]
        rows = [list(it) for it in execute(f"{chosen} WHERE {key} > ? {order}", last).fetchall()]


def _shape(table: type[Table]) -> tuple[str, list[str], str]:
    meta: Any = table._meta  # noqa: SLF001  Peewee's documented way to a table's columns
    return (
        meta.table_name,
        [it.column_name for it in meta.sorted_fields],
        (meta.primary_key.column_name),
    )


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield (header | table | row, value) of a backup, its checksum checked.

    Tables and columns are those of this version's model: their names become part of
    statements, and anyone can compute the checksum.
    """
    shapes = {name: sorted(columns) for name, columns, _ in map(_shape, ALL)}
    seen: set[str] = set()
    width = 0
    digest = hashlib.sha256()
    rows = 0
    try:
        with gzip.open(path, "rb") as file:
            header = json.loads(file.readline(_LINE_MOST) or b"null")
            if not _is_header(header):
                raise UsageError(f"{path} is no backup that this version of afx can read.")
            digest.update(
                json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
            )
            yield "header", header
            while line := file.readline(_LINE_MOST):
                value = json.loads(line)
                if isinstance(value, list):
                    if len(value) != width or any(isinstance(it, dict | list) for it in value):
                        raise ValueError("a row does not fit its table")
                    rows += 1
                    yield "row", value
                elif not isinstance(value, dict):
                    raise ValueError("a line is of no known kind")
                elif "table" in value:
                    name: Any = value["table"]
                    columns: Any = value.get("columns")
                    if not _is_names(columns) or sorted(columns) != shapes.get(str(name)):
                        raise ValueError("a table or its columns are not those of this version")
                    if name in seen:
                        raise ValueError("a table is there twice")
                    seen.add(name)
                    width = len(columns)
                    yield "table", value
                elif value != {"rows": rows, "sha256": digest.hexdigest()}:
                    raise UsageError(f"{path} is damaged: its checksum is wrong.")
                else:
                    return
                digest.update(line)
    except (OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
        if isinstance(error, FileNotFoundError):
            raise UsageError(f"There is no file {path}.") from error
        raise UsageError(f"{path} is no backup, or is damaged ({error}).") from error
    raise UsageError(f"{path} is damaged: its end is missing.")


def _is_header(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.get("afx_backup") == FORMAT
        and _is_names([value.get("created_at"), value.get("database")])
        and _is_names(value.get("migrations"))
        and bool(value["migrations"])
    )


def _is_names(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(it, str) for it in values)


def _load(path: Path, progress: Progress) -> None:
    tables = {_shape(it)[0]: it for it in ALL}
    name, columns, flags, total = "", [""], [0], 0
    rows: list[tuple[Any, ...]] = []

    def flush() -> None:
        nonlocal total, rows
        insert_many(name, columns, rows)
        total += len(rows)
        rows = []
        progress(name, total)

    for kind, value in _lines(path):
        if kind == "table":
            if rows:
                flush()
            name, columns = value["table"], value["columns"]
            table = tables[name]
            # SQLite returns 0 and 1 where Postgres needs a boolean.
            flags = [
                number
                for number, column in enumerate(columns)
                if isinstance(getattr(table, column.removesuffix("_id"), None), peewee.BooleanField)
            ]
        elif kind == "row":
            for number in flags:
                value[number] = bool(value[number])
            rows.append(tuple(value))
            if len(rows) >= _ROWS_AT_ONCE:
                flush()
    if rows:
        flush()


@contextlib.contextmanager
def _audit_unguarded() -> Iterator[None]:
    """Allow the block to replace the audit log."""
    if is_postgres():
        execute("ALTER TABLE audit_log DISABLE TRIGGER USER")
        yield
        execute("ALTER TABLE audit_log ENABLE TRIGGER USER")
        return
    found = execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_log'"
    ).fetchall()
    for name, _ in found:
        execute(f"DROP TRIGGER {name}")
    yield
    for _, statement in found:
        proxy.execute_sql(statement)


def _raise_counters(before: ClusterState) -> None:
    """Raise the counters, so that no epoch, term or id is reused."""
    current = ClusterState.get_by_id(1)
    ClusterState.update(
        generation=max(current.generation, before.generation) + 1,
        term=max(current.term, before.term),
        next_session=max(current.next_session, before.next_session),
        next_rule=max(current.next_rule, before.next_rule),
    ).where(ClusterState.id == 1).execute()


def _reset_sequences() -> None:
    if not is_postgres():
        return
    for table in ALL:
        name, _, key = _shape(table)
        if isinstance(getattr(table, key, None), peewee.AutoField):
            execute(
                f"SELECT setval(pg_get_serial_sequence('{name}', 'id'),"
                f" COALESCE(MAX(id), 1), MAX(id) IS NOT NULL) FROM {name}"
            )
