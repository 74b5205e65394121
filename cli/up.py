"""afx up."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cli.shared import Invocation, shared


@shared("redis_url", "database_url")
def up(
    invocation: Invocation,
    workers: Annotated[int, typer.Option("--workers", "-n", min=0, help="How many nodes.")] = 2,
) -> None:
    """Run a whole cluster on this machine; Ctrl-C ends it cleanly.

    Example:  afx up --workers 3
    """
    from afx.local import private_redis
    from afx.local.processes import Fleet

    servers = invocation.open()
    settings = servers.settings
    ours = not settings.redis_url and not private_redis.is_running(settings.home)
    url = servers.redis_url(start=True)
    servers.open_database(create=True)
    servers.close()
    servers.vault()
    fleet = Fleet(settings, url)
    try:
        fleet.start_coordinator()
        for number in range(1, workers + 1):
            fleet.start_worker(f"w{number}")
        print(
            f"the cluster runs: 1 coordinator, {workers} nodes; home {settings.home}",
            file=sys.stderr,
        )
        print("look at it with 'afx status'; end it with Ctrl-C", file=sys.stderr)
        fleet.wait()
    finally:
        print("stopping: sessions first, then the coordinator", file=sys.stderr)
        fleet.stop()
        if ours:
            private_redis.stop(settings.home)
