"""afx scale."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cli import groups, output
from cli.shared import Invocation, shared

if TYPE_CHECKING:
    from afx.operations.scaling import ScalingStatus

app = groups.group("Scaling: how many nodes the cluster should have, and why.")
_EXIT_CODES = {"hold": 0, "out": 10, "in": 20}
_STALE = 3
_LATE_SECONDS = 300.0
"""A recommendation that was not followed for so long is worth a word."""


@app.command()
@shared("redis_url", "database_url", "json")
def check(
    invocation: Invocation,
    command: Annotated[
        str | None,
        typer.Option(
            "--exec", metavar="CMD", help="Run this for out and in, with SCALE_… variables."
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=1, help="How long the command may take, in seconds.")
    ] = 300.0,
) -> None:
    """Say whether the cluster needs more nodes or fewer: for cron and timers.

    Exit code: 0 hold, 10 out (more), 20 in (fewer), 1 error, 3 the figures are stale.
    The command is run without a shell, for out and in only, and one at a time.

    Example:  afx scale check --exec /usr/local/bin/resize-group
    """
    from afx import app
    from afx.operations import scaling

    # An empty one is refused: a variable that is not set must not do nothing for ever.
    words = [] if command is None else app.split_command(command)
    found = scaling.status(invocation.context)
    if invocation.json:
        output.print_json(asdict(found))
    else:
        print(_line(found))
    if found.is_stale:
        raise typer.Exit(_STALE)
    if found.decision != "hold" and found.standing_seconds >= _LATE_SECONDS:
        minutes = round(found.standing_seconds / 60)
        print(
            f"afx: this has been recommended for {minutes} min and the nodes have not followed; "
            "see what starts and stops them.",
            file=sys.stderr,
        )
    if words and found.decision != "hold":
        app.run_scale_command(
            invocation.open().settings, words, found.variables(), timeout_seconds=timeout
        )
    raise typer.Exit(_EXIT_CODES[found.decision])


@app.command()
@shared("watch", "database_url", "json", pages=True)
def history(invocation: Invocation) -> None:
    """List each change of the recommendation, the newest first.

    Example:  afx scale history --limit 20
    """
    from afx.operations import scaling

    invocation.print_list(
        lambda after, limit: scaling.listing(invocation.context, after=after, limit=limit),
        ("ID", "AT", "DECISION", "NODES", "DESIRED", "REASON"),
        lambda it: (it.id, it.at, it.decision, it.current, it.desired, it.reason),
        empty=output.no("recommendations", filtered=False),
        by_id=True,
    )


@app.command()
@shared("redis_url", "database_url", "json")
def plan(invocation: Invocation) -> None:
    """Show what following the recommendation means: how many nodes to add, which to drain.

    Nothing is changed.

    Example:  afx scale plan
    """
    from afx.operations import scaling, workers

    found = scaling.status(invocation.context)
    summaries = workers.by_node(workers.listing(invocation.context))
    nodes = {it.name: it for it in summaries}
    drained = [nodes[it] for it in found.removable if it in nodes]
    added = max(0, found.desired - found.current)
    if invocation.json:
        output.print_json(
            {
                "decision": found.decision,
                "is_stale": found.is_stale,
                "add": added,
                "drain": [{"worker": it.name, "sessions": it.assigned} for it in drained],
            }
        )
        return
    print(_line(found))
    if added:
        print(f"add {added} nodes, each with 'afx worker start' on a machine of its own")
    if drained:
        output.print_table(
            ("DRAIN", "SESSIONS", "LOAD"),
            ((it.name, it.assigned, f"{it.load:.2f}") for it in drained),
            empty="",
        )


@app.command()
@shared("watch", "redis_url", "database_url", "json")
def explain(invocation: Invocation) -> None:
    """Show the figures behind the recommendation.

    Example:  afx scale explain --watch
    """
    from afx.operations import scaling

    def draw() -> None:
        found = scaling.status(invocation.context)
        if invocation.json:
            output.print_json(asdict(found))
            return
        print(_line(found))
        limit = found.max_nodes or "no limit"
        print(f"limits {found.min_nodes} to {limit}; the moment asks for {found.needed} nodes")
        if found.overflow:
            print(f"{found.overflow} sessions wait for room")
        if found.oldest_task_seconds:
            print(f"the oldest task waits since {found.oldest_task_seconds:.0f} s")
        output.print_table(
            ("RESOURCE", "DEMAND", "A NODE HAS", "NODES"),
            (
                (
                    name,
                    output.mib(it.demand) if name == "ram" else round(it.demand, 2),
                    output.mib(it.node_capacity) if name == "ram" else round(it.node_capacity, 2),
                    f"{it.nodes:.2f}",
                )
                for name, it in found.demands.items()
            ),
            empty="",
        )

    output.repeat(draw, invocation.watch)


def _line(found: ScalingStatus) -> str:
    stale = " (stale)" if found.is_stale else ""
    return f"{found.decision}{stale}: {found.current} ready, {found.desired} desired; {found.text}"
