"""afx session set."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import complete, output
from cli.shared import Invocation, shared

Proxy = Annotated[
    str,
    typer.Option(
        "--proxy", help="It connects through this proxy only.", autocompletion=complete.proxies
    ),
]


@shared("redis_url", "database_url", "json", change=True)
def set_(
    invocation: Invocation,
    name: Annotated[
        str,
        typer.Argument(
            help="A name, an id, or a unique beginning.", autocompletion=complete.sessions
        ),
    ],
    proxy: Proxy = "",
    pool: Annotated[
        str, typer.Option("--pool", help="Through the least used proxy of a pool; it keeps it.")
    ] = "",
    no_proxy: Annotated[bool, typer.Option("--no-proxy", help="It connects directly.")] = False,
) -> None:
    """Set by which way a session reaches Telegram; one that runs is restarted.

    It stops before it starts with another proxy. While its proxy fails, it does not connect
    at all. It keeps its proxy wherever it runs.

    Example:  afx session set main --proxy eu-1
    """
    from afx.operations import proxies

    full, chosen, changed = proxies.assign(
        invocation.context, name, proxy=proxy, pool=pool, none=no_proxy
    )
    if invocation.json:
        found = {"session": full, "proxy": chosen, "changed": changed}
        output.print_json({**found, "dry_run": invocation.dry_run})
        return
    way = f"through proxy {chosen}" if chosen else "directly"
    invocation.say(f"session {full} connects {way}{'' if changed else ' already'}")
