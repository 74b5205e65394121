"""afx worker."""

from __future__ import annotations

import secrets
import socket
from typing import Annotated

import typer

from cli import common

app = typer.Typer(help="Worker nodes: they run the sessions.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Worker nodes: they run the sessions."""


@app.command()
def start(
    name: Annotated[
        str | None, typer.Option("--name", help="The node's name [default: host and a number].")
    ] = None,
    max_sessions: Annotated[
        int | None, typer.Option("--max-sessions", min=1, help="Sessions it may run.")
    ] = None,
    ram_limit_mib: Annotated[
        int | None, typer.Option("--ram-limit-mib", min=1, help="RAM it may use, in MiB.")
    ] = None,
    redis_url: common.RedisUrl = None,
) -> None:
    """Run a worker node until it is told to stop.

    Example:  afx worker start --name w1 --redis-url redis://10.0.0.5:6379
    """
    from afx.cluster.connection import connect, reachable
    from afx.errors import UsageError
    from afx.logs import configure
    from afx.node.runtime import Supervisor
    from afx.security.keyfile import read_keys

    held = common.settings(
        redis_url=redis_url, max_sessions=max_sessions, ram_limit_mib=ram_limit_mib
    )
    configure(held.log_level)
    name = name or f"{socket.gethostname().split('.')[0]}-{secrets.token_hex(2)}"
    if not name.replace("-", "").replace("_", "").isalnum() or len(name) > 100:
        raise UsageError("A node's name has letters, digits, - and _ only; choose another.")
    url = common.redis_url(held, start=True)
    read_keys(held.home, held.secret_key.get_secret_value())
    with reachable(url):
        client = connect(url)
        client.ping()
        client.close()
    Supervisor(held, url, name).run()


@app.command("list")
def list_(redis_url: common.RedisUrl = None, json: common.Json = False) -> None:
    """List the nodes that Redis knows.

    Example:  afx worker list --json
    """
    from dataclasses import asdict

    from afx.cluster.connection import connect, reachable
    from afx.cluster.registry import Registry

    url = common.redis_url(common.settings(redis_url=redis_url))
    with reachable(url):
        client = connect(url)
        found = Registry(client).all()
        client.close()
    if json:
        common.print_json([asdict(it) for it in found])
        return
    common.print_table(
        ("NODE", "STATE", "SESSIONS", "MAX", "RSS", "FREE", "CPU", "FORWARDED", "HOST"),
        (
            (it.name, it.state, it.metrics.sessions, it.max_sessions, common.mib(it.metrics.rss),
             common.mib(it.metrics.ram_free), f"{it.metrics.cpu:.0%}", it.metrics.forwarded,
             it.hostname)
            for it in found
        ),
        empty="No node has registered; start one with 'afx worker start'.",
    )  # fmt: skip
