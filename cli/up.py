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
    from afx import app

    settings = invocation.open().settings
    app.run_cluster(settings, nodes=workers, notify=lambda line: print(line, file=sys.stderr))
