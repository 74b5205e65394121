"""afx top."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer

from cli import common, output

_EVENTS = 8


def top(
    seconds: Annotated[
        float, typer.Option("--every", min=0.2, help="Seconds between two looks.")
    ] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Look once and end.")] = False,
    redis_url: common.RedisUrl = None,
    json: common.Json = False,
) -> None:
    """Watch the nodes at work: load, RAM, CPU, sessions, messages a second, events.

    The busiest node comes first. Ends with Ctrl-C.

    Example:  afx top
    """
    with common.redis_client(common.settings(redis_url=redis_url)) as client:
        from afx.cluster import events
        from afx.cluster.registry import LIVE_STATES, Registry

        registry = Registry(client)
        last, _ = events.watch(client, "0")
        news: list[dict[str, Any]] = []
        before: dict[str, tuple[float, int]] = {}
        while True:
            now = time.monotonic()
            rows: list[dict[str, Any]] = []
            for it in registry.all():
                at, count = before.get(it.incarnation, (now, it.metrics.forwarded))
                rate = (it.metrics.forwarded - count) / (now - at) if now > at else 0.0
                before[it.incarnation] = (now, it.metrics.forwarded)
                rows.append(
                    {
                        "name": it.name,
                        "state": it.state,
                        "load": round(it.metrics.load, 3),
                        "rss": it.metrics.rss,
                        "ram_free": it.metrics.ram_free,
                        "cpu": it.metrics.cpu,
                        "sessions": it.metrics.sessions,
                        "starting": it.metrics.starting,
                        "max_sessions": it.max_sessions,
                        "forwarded": it.metrics.forwarded,
                        "per_second": round(rate, 1),
                        "live": it.state in LIVE_STATES,
                    }
                )
            rows.sort(key=lambda it: (-it["load"], it["name"]))
            last, fresh = events.watch(client, last)
            news = [*news, *fresh][-_EVENTS:]
            if json:
                output.print_json({"nodes": rows, "news": fresh})
            else:
                _draw(rows, news)
            if once:
                return
            time.sleep(seconds)


def _draw(rows: list[dict[str, Any]], news: list[dict[str, Any]]) -> None:
    if sys.stdout.isatty():
        print("\033[H\033[2J", end="")
    live = [it for it in rows if it["live"]]
    print(
        f"{len(live)} nodes, {sum(it['sessions'] for it in live)} sessions, "
        f"{sum(it['per_second'] for it in live):.1f} messages/s, "
        f"{output.mib(sum(it['rss'] for it in live))} in use"
    )
    print()
    output.print_table(
        ("NODE", "STATE", "LOAD", "RSS", "FREE", "CPU", "SESSIONS", "STARTING", "MSG/S", "TOTAL"),
        (
            (
                it["name"],
                it["state"],
                f"{it['load']:.2f}",
                output.mib(it["rss"]),
                output.mib(it["ram_free"]),
                f"{it['cpu']:.0%}",
                f"{it['sessions']}/{it['max_sessions']}",
                it["starting"],
                f"{it['per_second']:.1f}",
                it["forwarded"],
            )
            for it in rows
        ),
        empty="No node has registered; start one with 'afx worker start'.",
    )
    for it in news:
        at = time.strftime("%H:%M:%S", time.localtime(it["at"]))
        rest = {name: value for name, value in it.items() if name not in ("kind", "at")}
        print(f"{at}  {it['kind']}  {output.cell(rest)}")
    sys.stdout.flush()
