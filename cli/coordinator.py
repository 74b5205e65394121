"""afx coordinator."""

from __future__ import annotations

from dataclasses import asdict

import typer

from cli import common, groups, output
from cli.shared import Invocation, shared

app = groups.group("The coordinator: places sessions on nodes.")


@app.command()
@shared("redis_url", "database_url")
def start(invocation: Invocation) -> None:
    """Run a coordinator until it is stopped; several stand by for each other.

    Example:  afx coordinator start --redis-url redis://10.0.0.5:6379
    """
    from afx.app import run_coordinator

    settings = common.settings(redis_url=invocation.redis_url, database_url=invocation.database_url)
    if run_coordinator(settings):
        common.restart_process()


@app.command()
@shared("redis_url", "database_url", "json", change=True, timeout=60.0)
def recycle(invocation: Invocation) -> None:
    """Restart all coordinators: standbys first, then the leader.

    Each keeps its pid and runs the program as it is on the disk by then. Sessions
    continue meanwhile.

    Example:  afx coordinator recycle
    """
    from afx.operations import coordinators

    invocation.finish([coordinators.recycle(invocation.context)], "recycle")


@app.command()
@shared("redis_url", "database_url", "json")
def status(invocation: Invocation) -> None:
    """Show which coordinator leads, and since which term; exits 3 when there is no leader.

    Example:  afx coordinator status --json
    """
    from afx.operations import coordinators

    found = coordinators.status(invocation.context)
    output.print_fields(asdict(found), as_json=invocation.json)
    if found.leader is None:
        raise typer.Exit(3)
