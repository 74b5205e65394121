"""afx overflow."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from cli import common, groups, output

app = groups.group("The overflow queue: sessions that are unschedulable and wait for room.")


@app.command("list")
def list_(
    limit: output.Limit = None,
    after: Annotated[str | None, typer.Option("--after", help="Begin after this name.")] = None,
    everything: output.Everything = False,
    watch: output.Watch = False,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """List the sessions that wait: since when, why, how often they were tried.

    Example:  afx overflow list --watch
    """
    with common.reading(database_url):
        from models.storage import queue

        output.repeat(
            lambda: output.print_list(
                lambda begin, most: queue.listing(after=begin, limit=most),
                ("SESSION", "USER", "TIER", "SINCE", "TRIED", "REASON"),
                lambda it: (
                    it["name"],
                    it["user"],
                    it["tier"],
                    it["since"],
                    it["attempts"],
                    it["reason"],
                ),
                as_json=json,
                limit=limit,
                after=after,
                everything=everything,
                empty="The overflow queue is empty.",
            ),
            watch,
        )


@app.command()
def drain(
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, help="How long to wait, in seconds.")
    ] = 600.0,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """Wait until nobody waits any more, for example after adding nodes.

    The coordinator places what waits by itself as soon as there is room. Exit
    code 4: some still wait when the time is over.

    Example:  afx overflow drain --timeout 120
    """
    begun = time.monotonic()
    with common.reading(database_url):
        from models.storage import queue

        first = left = queue.count()
        while left and time.monotonic() - begun < timeout:
            output.progress(f"{left} of {first} sessions wait")
            time.sleep(0.2)
            left = queue.count()
    output.progress_end()
    if json:
        output.print_json({"waited": first, "left": left})
    elif left:
        print(f"afx: {left} sessions still wait; see 'afx overflow list'.", file=sys.stderr)
    else:
        print("Nobody waits.")
    if left:
        raise typer.Exit(4)
