"""afx session."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cli import common

app = typer.Typer(help="Sessions: Telegram accounts' logins.", no_args_is_help=True)


@app.command("import")
def import_(
    name: str,
    user: Annotated[str, typer.Option("--user", help="Who owns it.")],
    login: Annotated[
        str | None,
        typer.Option("--login", help="A Telethon session string [default: read from stdin]."),
    ] = None,
    database_url: common.DatabaseUrl = None,
) -> None:
    """Add a session from a Telethon session string.

    The string is a password: give it on standard input, so that no history and
    no process list shows it.

    Example:  afx session import main --user alice < login.txt
    """
    from telethon.sessions import StringSession

    from afx.errors import UsageError
    from models.storage import sessions, users

    text = (login or sys.stdin.readline()).strip()
    try:
        held_login = StringSession(text)
    except Exception as error:
        raise UsageError("That is no Telethon session string; nothing was added.") from error
    if not text or held_login.auth_key is None:
        raise UsageError("That session string is empty; nothing was added.")
    held = common.settings(database_url=database_url)
    with common.database(held):
        owner = users.find(user)
        session = sessions.create(owner, name, common.vault(held).seal(text))
        print(f"session {name} added (id {session.id})")


@app.command("list")
def list_(database_url: common.DatabaseUrl = None, json: common.Json = False) -> None:
    """List all sessions, where they run and what troubles them."""
    from models.storage import sessions

    with common.database(common.settings(database_url=database_url)):
        found = sessions.listing()
    if json:
        common.print_json(found)
        return
    common.print_table(
        ("ID", "NAME", "USER", "TIER", "WANTED", "NODE", "STATE", "TROUBLE"),
        (
            (it["id"], it["name"], it["user"], it["tier"], it["wanted"], it["worker"],
             it["state"] or ("waiting" if it["waits"] else None), it["trouble"] or it["waits"])
            for it in found
        ),
        empty="There is no session; add one with 'afx session import'.",
    )  # fmt: skip


@app.command()
def pause(name: str, database_url: common.DatabaseUrl = None) -> None:
    """Stop a session; it misses nothing and goes on when resumed."""
    _want(name, "paused", database_url)


@app.command()
def resume(name: str, database_url: common.DatabaseUrl = None) -> None:
    """Let a paused session run again."""
    _want(name, "running", database_url)


def _want(name: str, wanted: str, database_url: str | None) -> None:
    from models.storage import sessions

    with common.database(common.settings(database_url=database_url)):
        session = sessions.find(name)
        sessions.set_wanted(session, wanted)
        print(f"session {session.name} is to be {wanted}")
