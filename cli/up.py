"""afx up."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cli import common


def up(
    workers: Annotated[int, typer.Option("--workers", "-n", min=0, help="How many nodes.")] = 2,
    redis_url: common.RedisUrl = None,
    database_url: common.DatabaseUrl = None,
) -> None:
    """Run a whole cluster on this machine; Ctrl-C ends it cleanly.

    Example:  afx up --workers 3
    """
    from afx.local import private_redis
    from afx.local.processes import Fleet

    held = common.settings(redis_url=redis_url, database_url=database_url)
    ours = not held.redis_url and not private_redis.is_running(held.home)
    url = common.redis_url(held, start=True)
    with common.database(held):
        pass
    common.vault(held)
    fleet = Fleet(held, url)
    try:
        fleet.start_coordinator()
        for number in range(1, workers + 1):
            fleet.start_worker(f"w{number}")
        print(
            f"the cluster runs: 1 coordinator, {workers} nodes; home {held.home}", file=sys.stderr
        )
        print("look at it with 'afx status'; end it with Ctrl-C", file=sys.stderr)
        fleet.wait()
    finally:
        print("stopping: sessions first, then the coordinator", file=sys.stderr)
        fleet.stop()
        if ours:
            private_redis.stop(held.home)
