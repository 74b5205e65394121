"""What all commands share: who acts, questions, labels, errors as sentences."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from afx.config import Settings
    from afx.operations.context import Actor

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
RedisUrl = Annotated[
    str | None, typer.Option("--redis-url", help="Redis to use [default: a private one].")
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option("--database-url", help="sqlite:///PATH or postgresql://… [default: SQLite]."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check and show what would change; change nothing.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def settings(**flags: Any) -> Settings:
    """Read the settings; flags that are None count as not given."""
    from afx.config import load

    return load(**flags)


def actor() -> Actor:
    """Return who runs this command, with all scopes."""
    import getpass
    import socket

    from afx.operations.context import Actor

    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = str(os.getuid())
    return Actor(f"cli:{name}@{socket.gethostname()}"[:100])


def labels(texts: Sequence[str] | None) -> dict[str, str]:
    """Return labels given as ``key=value``; raises UsageError for what is none."""
    import re

    from afx.errors import UsageError

    found: dict[str, str] = {}
    for text in texts or ():
        match = re.fullmatch(r"([A-Za-z0-9_.-]{1,40})=([A-Za-z0-9_.-]{1,60})", text, re.ASCII)
        if match is None:
            raise UsageError("A label is KEY=VALUE of letters, digits, _, . and -; correct it.")
        found[match[1]] = match[2]
    return found


def say(sentence: str, *, dry_run: bool = False) -> None:
    """Print what was changed, or would be."""
    print(f"{sentence} (dry run: nothing was changed)" if dry_run else sentence)


def confirm(question: str, yes: bool) -> None:
    """Ask before something is destroyed; raises UsageError for a no.

    Without a terminal nobody can answer: then ``--yes`` is needed.
    """
    from afx.errors import UsageError

    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Give --yes to do it without being asked.")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("Nothing was changed.")


def restart_command(*flags: str) -> list[str]:
    """Return the command that this process runs, with ``flags`` added."""
    return [sys.executable, *sys.orig_argv[1:], *flags]


def restart_process() -> NoReturn:
    """Replace this process by a new one of the same command, under the same pid.

    So a program that was updated on the disk is run from there.
    Raises AfxError when Python cannot be started.
    """
    from afx.errors import AfxError

    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execv(sys.executable, restart_command())  # noqa: S606
    except OSError as error:
        raise AfxError(
            f"{sys.executable} cannot be restarted ({error.strerror}); start it by hand."
        ) from error


def fail(error: Exception) -> int:
    """Print an error as one sentence; returns the exit code."""
    print(f"afx: {error}", file=sys.stderr)
    return int(getattr(error, "exit_code", 1))


def debugging() -> bool:
    """Return whether tracebacks are wanted."""
    return "--debug" in sys.argv or os.environ.get("AFX_DEBUG", "") not in ("", "0")
