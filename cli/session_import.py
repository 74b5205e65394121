"""afx session import."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli import complete
from cli.session_set import Proxy
from cli.shared import Invocation, shared

_LIST_SUFFIXES = (".csv", ".jsonl", ".ndjson")


@shared("database_url", "json", change=True)
def import_(
    invocation: Invocation,
    name: Annotated[str | None, typer.Argument(help="The name of the one session.")] = None,
    user: Annotated[
        str, typer.Option("--user", help="Who owns it.", autocompletion=complete.users)
    ] = "",
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="A Telethon .session file, or a .csv or .jsonl list."),
    ] = None,
    result: Annotated[
        Path | None, typer.Option("--result", help="Write what became of each line, as JSON lines.")
    ] = None,
    proxy: Proxy = "",
    device: Annotated[
        Path | None,
        typer.Option("--device", help="A JSON file of the device that it was signed in with."),
    ] = None,
) -> None:
    """Add sessions: one from a Telethon string or .session file, or many from a list.

    The string is a password: it is read from standard input, and asked for on a
    terminal, so that no history and no process list shows it. A list has the columns
    name, login or file, user, proxy and device; its files lie beside it. An import that
    was interrupted is run again and goes on.

    Example:  afx session import main --user alice < login.txt

    Example:  afx session import -f accounts.csv --user alice --result done.jsonl
    """
    if file is not None and file.suffix.lower() in _LIST_SUFFIXES:
        from afx.errors import UsageError
        from cli.imports import import_list

        if proxy or device:
            raise UsageError("A list has the columns 'proxy' and 'device' for each session.")
        import_list(invocation, file, user, result, alone=name is None)
        return
    from afx.errors import UsageError
    from afx.operations import logins, sessions

    if not name or not user:
        raise UsageError("Give the session's NAME and --user; a list is given with -f FILE.csv.")
    text = logins.from_file(file) if file else _read_login()
    described = logins.device_from_file(device) if device else ""
    session_id = sessions.add(invocation.context, name, user, text, proxy=proxy, device=described)
    invocation.say(f"session {name} added (id {session_id})")


def _read_login() -> str:
    if sys.stdin.isatty():
        return getpass.getpass("Telethon session string: ", sys.stderr)
    return sys.stdin.readline()
