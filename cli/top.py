"""afx top."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.shared import Invocation, shared

if TYPE_CHECKING:
    from afx.operations.cluster import NodeActivity

_EVENTS_SHOWN = 8


@shared("redis_url", "json")
def top(
    invocation: Invocation,
    seconds: Annotated[
        float, typer.Option("--every", min=0.2, help="Seconds between two samples.")
    ] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Show one sample and end.")] = False,
) -> None:
    """Watch the nodes at work: load, RAM, CPU, sessions, messages a second, events.

    The busiest node comes first. Ends with Ctrl-C.

    Example:  afx top
    """
    from afx.operations import cluster

    shown: list[Mapping[str, Any]] = []
    for sample in cluster.activity(invocation.context):
        shown = [*shown, *sample.events][-_EVENTS_SHOWN:]
        if invocation.json:
            output.print_json({"nodes": sample.nodes, "news": sample.events})
        else:
            _draw(sample.nodes, shown)
        if once:
            return
        time.sleep(seconds)


def _draw(nodes: Sequence[NodeActivity], events: Sequence[Mapping[str, Any]]) -> None:
    if sys.stdout.isatty():
        print("\033[H\033[2J", end="")
    live = [it for it in nodes if it.live]
    print(
        f"{len(live)} nodes, {sum(it.sessions for it in live)} sessions, "
        f"{sum(it.per_second for it in live):.1f} messages/s, "
        f"{output.mib(sum(it.rss for it in live))} in use"
    )
    print()
    output.print_table(
        ("NODE", "STATE", "LOAD", "RSS", "FREE", "CPU", "SESSIONS", "STARTING", "MSG/S", "TOTAL"),
        (
            (
                it.name,
                it.state,
                f"{it.load:.2f}",
                output.mib(it.rss),
                output.mib(it.ram_free),
                f"{it.cpu:.0%}",
                f"{it.sessions}/{it.max_sessions}",
                it.starting,
                f"{it.per_second:.1f}",
                it.forwarded,
            )
            for it in nodes
        ),
        empty="No node has registered; start one with 'afx worker start'.",
    )
    for event in events:
        at = time.strftime("%H:%M:%S", time.localtime(event["at"]))
        fields = {name: value for name, value in event.items() if name not in ("kind", "at")}
        print(f"{at}  {event['kind']}  {output.cell(fields)}")
    sys.stdout.flush()
