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

    A process that ends is restarted; the command ends when one keeps ending.

    Example:  afx up --workers 3
    """
    from afx.local.cluster import run_cluster
    from afx.local.home_lock import home_lock

    settings = common.settings(redis_url=redis_url, database_url=database_url)
    with home_lock(settings.home, "up", "afx up"):
        with common.database(settings):
            pass  # it exists and has this version's schema: the coordinator finds it so
        common.vault(settings)
        run_cluster(settings, nodes=workers, notify=lambda line: print(line, file=sys.stderr))
