"""afx up."""

from __future__ import annotations

import re
import sys
from typing import Annotated

import typer

from cli.shared import Invocation, shared


@shared("redis_url", "database_url")
def up(
    invocation: Invocation,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", "-n", min=0, help="How many nodes [default: 2].", show_default=False
        ),
    ] = None,
    autoscale: Annotated[
        str,
        typer.Option("--autoscale", metavar="MIN:MAX", help="As many nodes as are needed."),
    ] = "",
) -> None:
    """Run a whole cluster on this machine; Ctrl-C ends it cleanly.

    A process that ends is restarted; the command ends when one keeps ending. With
    --autoscale, nodes are added when sessions need them, and drained and removed when not.

    Example:  afx up --autoscale 1:4
    """
    from afx import app

    least, most = (
        _limits(autoscale, workers) if autoscale else (2 if workers is None else workers, 0)
    )
    settings = invocation.open().settings
    app.run_cluster(
        settings,
        nodes=least,
        most_nodes=most,
        notify=lambda line: print(line, file=sys.stderr),
    )


def _limits(text: str, workers: int | None) -> tuple[int, int]:
    """Return the fewest and the most nodes; raises UsageError for what is no MIN:MAX."""
    from afx.errors import UsageError

    if workers is not None:
        raise UsageError("--autoscale says how many nodes there are; leave --workers out.")
    found = re.fullmatch(r"(\d{1,3}):(\d{1,3})", text, re.ASCII)
    least, most = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= least <= most:
        raise UsageError("--autoscale is MIN:MAX, such as 1:4: from 1 node on, and MAX not below.")
    return least, most
