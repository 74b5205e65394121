"""afx overflow."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cli import groups, output, sort_options
from cli.shared import Invocation, shared

app = groups.group("The overflow queue: sessions that are unschedulable and wait for room.")


@app.command("list")
@shared("watch", "database_url", "json", pages=True)
def list_(invocation: Invocation, sort: sort_options.ByNameOrSince = "name") -> None:
    """List the sessions that wait: since when, why, how often they were tried.

    Example:  afx overflow list --watch
    """
    from afx.operations import overflow

    invocation.print_list(
        lambda after, limit: overflow.listing(
            invocation.context, after=after, limit=limit, sort=sort
        ),
        ("SESSION", "USER", "TIER", "SINCE", "TRIED", "REASON"),
        lambda it: (it.name, it.user, it.tier, it.since, it.attempts, it.reason),
        empty="The overflow queue is empty.",
    )


@app.command()
@shared("database_url", "json")
def drain(
    invocation: Invocation,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, help="How long to wait, in seconds.")
    ] = 600.0,
) -> None:
    """Wait until the overflow queue is empty, for example after adding nodes.

    The coordinator places waiting sessions by itself as soon as there is room. Exit
    code 4: some still wait when the time is over.

    Example:  afx overflow drain --timeout 120
    """
    from afx.operations import overflow

    first = left = 0
    for left in overflow.watch(invocation.context, timeout=timeout):
        first = first or left
        output.progress(f"{left} of {first} sessions wait")
    output.progress_end()
    if invocation.json:
        output.print_json({"waited": first, "left": left})
    elif left:
        print(f"afx: {left} sessions still wait; see 'afx overflow list'.", file=sys.stderr)
    else:
        print("The overflow queue is empty.")
    if left:
        raise typer.Exit(4)
