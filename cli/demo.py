"""afx demo: its command, and how it is shown."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import common, output

if TYPE_CHECKING:
    from rich.console import RenderableType

    from afx.app import DemoResult, DemoState


def demo(
    sessions: Annotated[int, typer.Option("--sessions", min=1, help="Telegram accounts.")] = 60,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Worker nodes.")] = 3,
    messages: Annotated[int, typer.Option("--messages", min=0, help="Posts in all.")] = 3000,
    rate: Annotated[float, typer.Option("--rate", min=0.1, help="Posts a second.")] = 200.0,
    kill: Annotated[
        bool, typer.Option("--kill/--no-kill", help="SIGKILL one node in mid-stream.")
    ] = True,
    redis_url: Annotated[
        str, typer.Option("--redis-url", help="An empty Redis to use [default: a private one].")
    ] = "",
    database_url: Annotated[
        str, typer.Option("--database-url", help="A database to use [default: SQLite].")
    ] = "",
    keep: Annotated[bool, typer.Option("--keep", help="Keep the home with logs and data.")] = False,
    json: common.Json = False,
) -> None:
    """See a cluster forward messages, lose a node, and lose no message.

    Everything is real and local: Telethon clients, worker processes, Redis, a
    database, and a Telegram of our own whose ledger is the judge.

    Example:  afx demo --sessions 200 --workers 4 --rate 400
    """
    from afx.app import run_demo

    home = Path(tempfile.mkdtemp(prefix="afx-demo-"))
    try:
        with _Screen(live=sys.stderr.isatty() and not json) as screen:
            result = run_demo(
                home,
                workers=workers,
                sessions=sessions,
                messages=messages,
                rate=rate,
                kill=kill,
                show=screen.show,
                redis_url=redis_url,
                database_url=database_url,
            )
        if json:
            output.print_json(result.to_json())
        else:
            _summary(result)
        if not result.verdict.is_clean:
            raise typer.Exit(1)
    finally:
        if keep:
            print(f"kept: {home}", file=sys.stderr)
        else:
            shutil.rmtree(home, ignore_errors=True)


class _Screen:
    """Shows the demo: a picture on a terminal, else each new line of its log."""

    def __init__(self, *, live: bool) -> None:
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True)
        self._live = Live(console=console, auto_refresh=False) if live else None
        self._printed = 0

    def __enter__(self) -> _Screen:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, state: DemoState) -> None:
        """Show a state."""
        if self._live:
            self._live.update(_picture(state), refresh=True)
            return
        for line in state.log[self._printed :]:
            print(line, file=sys.stderr)
        self._printed = len(state.log)


def _picture(state: DemoState) -> RenderableType:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
    for column in ("NODE", "STATE", "SESSIONS", "RAM", "CPU", "FORWARDED", "LOAD"):
        table.add_column(column, justify="left" if column in ("NODE", "STATE") else "right")
    for it in state.nodes:
        metrics = it.metrics
        killed = it.name == state.killed
        table.add_row(
            it.name,
            "killed" if killed else it.state,
            str(metrics.sessions),
            output.mib(metrics.rss),
            f"{metrics.cpu:.0%}",
            str(metrics.forwarded),
            f"{metrics.load:.2f}",
            style="red" if killed else None,
        )
    if state.killed and all(it.name != state.killed for it in state.nodes):
        table.add_row(state.killed, "killed", "0", "-", "-", "-", "-", style="red")
    verdict = state.verdict
    figures = {
        "posted": f"{state.posted}/{state.messages}",
        "copied": verdict.delivered,
        "in flight": verdict.lost,
        "doubled": verdict.duplicated,
        "out of order": verdict.out_of_order,
        "revoked": verdict.revoked,
    }
    flow = Text("\n")  # the bar ends without one
    for name, value in figures.items():
        flow.append(f"{name} ", "dim").append(f"{value}   ")
    log = Text("\n".join(f"• {line}" for line in state.log[-8:]))
    title = Text(f"afx demo: {state.phase}", style="bold")
    bar = ProgressBar(total=max(1, state.messages), completed=verdict.delivered, width=60)
    return Group(title, table, bar, flow, log)


def _summary(result: DemoResult) -> None:
    from afx.app import command_name

    verdict = result.verdict
    print()
    print(
        f"{verdict.published} messages were posted to {result.sessions} accounts on "
        f"{result.workers} nodes; {verdict.delivered} of {verdict.expected} copies arrived."
    )
    print(
        f"Lost {verdict.lost}, doubled {verdict.duplicated}, out of order "
        f"{verdict.out_of_order}, logins revoked {verdict.revoked}."
    )
    latency = verdict.latency_ms
    if latency.p50 is not None:
        print(f"Half of the copies took under {latency.p50} ms, 99 % under {latency.p99} ms.")
    failover = result.failover
    if failover:
        print(
            f"Node {failover.node} was killed with {failover.sessions} sessions: it was detected "
            f"after {failover.detected_s} s, and all forwarded again after "
            f"{failover.recovered_s} s."
        )
    if not verdict.is_clean:
        print("THIS IS A FAULT: none of these may be above 0.")
    afx = command_name()
    print()
    print(f"Next: '{afx} up' runs a cluster that stays; '{afx} sandbox start' runs a local")
    print("Telegram to try it on. README.md shows both, and how to use a real account.")
