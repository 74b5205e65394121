"""What all commands share: settings, servers, who acts, errors as sentences."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    import redis

    from afx.config import Settings
    from afx.operations.change import Operator

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
RedisUrl = Annotated[
    str | None, typer.Option("--redis-url", help="Redis to use [default: a private one].")
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option("--database-url", help="sqlite:///PATH or postgresql://… [default: SQLite]."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check and tell what would change; change nothing.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def settings(**flags: Any) -> Settings:
    """Read the settings; flags that are None count as not given."""
    from afx.config import load

    return load(**flags)


def redis_url(held: Settings, *, start: bool = False) -> str:
    """Return the Redis URL in force; ``start`` runs the private one if needed."""
    from afx.errors import UnreachableError
    from afx.local import private_redis

    if held.redis_url:
        return held.redis_url
    if start:
        private_redis.ensure(held.home)
    elif not private_redis.is_running(held.home):
        raise UnreachableError(
            f"No Redis runs under {held.home}; start the cluster with 'afx up', "
            "or set AFX_REDIS_URL."
        )
    return private_redis.url_for(held.home)


@contextmanager
def redis_client(held: Settings) -> Iterator[redis.Redis]:
    """Connect to Redis for the block; its errors become sentences."""
    from afx.cluster.connection import connect, reachable

    url = redis_url(held)
    with reachable(url):
        client = connect(url)
        try:
            yield client
        finally:
            client.close()


@contextmanager
def database(held: Settings, *, check: bool = True) -> Iterator[None]:
    """Open the database for the block; the schema must be this version's.

    The SQLite database of the home is made and brought up to date by itself;
    with ``check`` off, no schema is looked for.
    """
    from models import base, schema
    from models.errors import translated

    own = held.database.startswith("sqlite:") and not held.database_url
    base.open_database(held.database)
    try:
        with translated():
            if check and own:
                schema.upgrade()
            elif check:
                schema.check()
            yield
    finally:
        base.close_database()


def vault(held: Settings) -> Any:
    """Return the vault of the key in force."""
    from afx.security.vault import load_vault

    return load_vault(held.home, held.secret_key.get_secret_value())


def operator(held: Settings, *, dry_run: bool = False) -> Operator:
    """Return who makes the changes of this command."""
    import getpass
    import socket

    from afx.operations.change import Operator
    from afx.security.keyfile import audit_keys, read_keys

    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = str(os.getuid())
    keys = audit_keys(read_keys(held.home, held.secret_key.get_secret_value()))
    return Operator(f"cli:{name}@{socket.gethostname()}"[:100], keys[0], dry_run)


@contextmanager
def changing(
    database_url: str | None, *, dry_run: bool = False, redis_url: str | None = None
) -> Iterator[tuple[Settings, Operator]]:
    """Open the database for a change; yields (settings, who makes it)."""
    held = settings(database_url=database_url, redis_url=redis_url)
    who = operator(held, dry_run=dry_run)
    with database(held):
        yield held, who


@contextmanager
def reading(database_url: str | None) -> Iterator[Settings]:
    """Open the database for a look."""
    held = settings(database_url=database_url)
    with database(held):
        yield held


def labels(texts: Sequence[str] | None) -> dict[str, str]:
    """Return labels given as ``key=value``; raises UsageError for what is none."""
    import re

    from afx.errors import UsageError

    found: dict[str, str] = {}
    for text in texts or ():
        held = re.fullmatch(r"([A-Za-z0-9_.-]{1,40})=([A-Za-z0-9_.-]{1,60})", text, re.ASCII)
        if held is None:
            raise UsageError("A label is KEY=VALUE of letters, digits, _, . and -; correct it.")
        found[held[1]] = held[2]
    return found


def say(sentence: str, *, dry_run: bool = False) -> None:
    """Tell what was changed, or would be."""
    print(f"{sentence} (dry run: nothing was changed)" if dry_run else sentence)


def confirm(question: str, yes: bool) -> None:
    """Ask before something is destroyed; raises UsageError for a no.

    Without a terminal there is nobody to ask: then ``--yes`` is needed.
    """
    from afx.errors import UsageError

    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Give --yes to do it without being asked.")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("Nothing was changed.")


def begin_anew(*flags: str) -> NoReturn:
    """Replace this process by a new one of the same command, under the same pid.

    So a program that was updated on the disk is run from there. ``flags`` are added.
    Raises AfxError when Python cannot be started.
    """
    from afx.errors import AfxError

    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:], *flags])  # noqa: S606
    except OSError as error:
        raise AfxError(
            f"{sys.executable} cannot be started anew ({error.strerror}); start it by hand."
        ) from error


def fail(error: Exception) -> int:
    """Print an error as one sentence; returns the exit code."""
    print(f"afx: {error}", file=sys.stderr)
    return int(getattr(error, "exit_code", 1))


def debugging() -> bool:
    """Return whether tracebacks are wanted."""
    return "--debug" in sys.argv or os.environ.get("AFX_DEBUG", "") not in ("", "0")
