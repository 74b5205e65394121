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

    A process that ends is restarted; the command ends when one keeps ending.

    Example:  afx up --workers 3
    """
    from afx.config import make_home
    from afx.local.cluster import run_cluster
    from afx.local.home_lock import home_lock

    servers = invocation.open()
    settings = servers.settings
    make_home(settings.home)
    with home_lock(settings.home, "up", "afx up"):
        # The database and the key exist before the coordinator looks for them.
        servers.open_database(create=True)
        servers.close()
        servers.vault()
        run_cluster(settings, nodes=workers, notify=lambda line: print(line, file=sys.stderr))
