"""afx rule."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from cli import common

app = typer.Typer(help="Rules: which chats are forwarded, and where to.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Rules: which chats are forwarded, and where to."""


@app.command()
def add(
    session: str,
    source: Annotated[list[str], typer.Option("--from", help="A source chat; may be repeated.")],
    destination: Annotated[list[str], typer.Option("--to", help="A destination; may be repeated.")],
    mode: Annotated[
        str, typer.Option("--mode", help="copy (no author shown) or forward.")
    ] = "copy",
    database_url: common.DatabaseUrl = None,
) -> None:
    """Add a rule to a session; chats are @names or ids (channels: -100…).

    A session that runs is started anew with it, and misses nothing.

    Example:  afx rule add main --from @news --to -1001234567890
    """
    from afx.errors import UsageError
    from models.storage import rules, sessions

    if mode not in ("copy", "forward"):
        raise UsageError(f"There is no mode '{mode}'; use copy or forward.")
    sources = [_chat(it) for it in source]
    destinations = [_chat(it) for it in destination]
    with common.database(common.settings(database_url=database_url)):
        rule = rules.create(sessions.find(session), sources, destinations, mode)
        print(f"rule {rule.id} added: {', '.join(sources)} → {', '.join(destinations)} ({mode})")


@app.command("list")
def list_(database_url: common.DatabaseUrl = None, json: common.Json = False) -> None:
    """List all rules."""
    from models.storage import rules

    with common.database(common.settings(database_url=database_url)):
        found = rules.listing()
    if json:
        common.print_json(found)
        return
    common.print_table(
        ("ID", "SESSION", "FROM", "TO", "MODE", "ENABLED"), (list(it.values()) for it in found),
        empty="There is no rule; add one with 'afx rule add'.",
    )  # fmt: skip


def _chat(text: str) -> str:
    """Return a chat as rules keep it; raises UsageError for what names none."""
    from afx.errors import UsageError

    name = re.sub(r"^(https?://)?t\.me/", "@", text.strip())
    if re.fullmatch(r"@[A-Za-z][A-Za-z0-9_]{3,31}", name) or re.fullmatch(r"-?[1-9]\d{0,18}", name):
        return name
    raise UsageError(f"'{text}' names no chat; give an @name or an id such as -1001234567890.")
