"""What all commands share: settings, errors as sentences, output."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from afx.config import Settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
RedisUrl = Annotated[
    str | None, typer.Option("--redis-url", help="Redis to use [default: a private one].")
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option("--database-url", help="sqlite:///PATH or postgresql://… [default: SQLite]."),
]


def settings(**flags: Any) -> Settings:
    """Read the settings; flags that are None count as not given."""
    from afx.config import load

    return load(**flags)


def redis_url(held: Settings, *, start: bool = False) -> str:
    """Return the Redis URL in force; ``start`` runs the private one if needed."""
    from afx.cluster import embedded
    from afx.errors import UnreachableError

    if held.redis_url:
        return held.redis_url
    if start:
        embedded.ensure(held.home)
    elif not embedded.is_running(held.home):
        raise UnreachableError(
            f"No Redis runs under {held.home}; start the cluster with 'afx up', "
            "or set AFX_REDIS_URL."
        )
    return embedded.url_for(held.home)


@contextmanager
def database(held: Settings, *, upgrade: bool = False) -> Iterator[None]:
    """Open the database for the block; the schema must be this version's.

    A new SQLite database, and any with ``upgrade``, is brought up to date.
    """
    from models import base, schema

    fresh = held.database.startswith("sqlite:") and not held.database_url
    base.open_database(held.database)
    try:
        if upgrade or fresh:
            schema.upgrade()
        else:
            schema.check()
        yield
    finally:
        base.close_database()


def vault(held: Settings) -> Any:
    """Return the vault of the key in force."""
    from afx.security.vault import load_vault

    return load_vault(held.home, held.secret_key.get_secret_value())


def print_json(value: Any) -> None:
    """Print one JSON value on standard output."""
    print(json.dumps(value, default=_plain, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str) -> None:
    """Print a table for people; ``empty`` is said when there is no row."""
    from rich.console import Console
    from rich.table import Table

    held = [[_cell(value) for value in row] for row in rows]
    if not held:
        print(empty, file=sys.stderr)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column)
    for row in held:
        table.add_row(*row)
    # Piped output must not be cut at the width of a terminal that is not there.
    Console(width=None if sys.stdout.isatty() else 240, markup=False).print(table)


def fail(error: Exception) -> int:
    """Print an error as one sentence; returns the exit code."""
    print(f"afx: {error}", file=sys.stderr)
    return int(getattr(error, "exit_code", 1))


def debugging() -> bool:
    """Return whether tracebacks are wanted."""
    return "--debug" in sys.argv or os.environ.get("AFX_DEBUG", "") not in ("", "0")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, list):
        return ", ".join(str(it) for it in value)
    # A name may hold anything: what moves a terminal's cursor is not printed.
    return "".join(it if it.isprintable() else "�" for it in str(value))


def mib(count: int) -> str:
    """Return a number of bytes in MiB, for people."""
    return f"{count / 1024 / 1024:.0f} MiB"
