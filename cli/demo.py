"""afx demo."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import common, output

if TYPE_CHECKING:
    from rich.console import RenderableType

    from afx.lab.demo import Scene


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
    from afx.errors import UsageError
    from afx.lab.cluster import Lab, temporary_settings
    from afx.lab.demo import run

    if kill and workers < 2:
        raise UsageError("With one worker nobody is left to take over; add --no-kill or workers.")
    home = Path(tempfile.mkdtemp(prefix="afx-demo-"))
    try:
        held = temporary_settings(home, redis_url=redis_url, database_url=database_url)
        screen = _Screen(live=sys.stderr.isatty() and not json)
        with Lab(held) as lab, screen:
            result = run(
                lab,
                workers=workers,
                sessions=sessions,
                messages=messages,
                rate=rate,
                kill=kill,
                show=screen.show,
            )
        good = not any(result[it] for it in ("lost", "duplicated", "out_of_order", "revoked"))
        if json:
            output.print_json(result)
        else:
            _summary(result, good)
        if not good:
            raise typer.Exit(1)
    finally:
        if keep:
            print(f"kept: {home}", file=sys.stderr)
        else:
            shutil.rmtree(home, ignore_errors=True)


class _Screen:
    """Shows the scene: live on a terminal, else each piece of news as a line."""

    def __init__(self, *, live: bool) -> None:
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True)
        self._live = Live(console=console, auto_refresh=False) if live else None
        self._told = 0

    def __enter__(self) -> _Screen:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, scene: Scene) -> None:
        """Show a scene."""
        if self._live:
            self._live.update(_picture(scene), refresh=True)
            return
        for line in scene.news[self._told :]:
            print(line, file=sys.stderr)
        self._told = len(scene.news)


def _picture(scene: Scene) -> RenderableType:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
    for column in ("NODE", "STATE", "SESSIONS", "RAM", "CPU", "FORWARDED", "LOAD"):
        table.add_column(column, justify="left" if column in ("NODE", "STATE") else "right")
    for it in scene.nodes:
        metrics = it.metrics
        dead = it.name == scene.killed
        table.add_row(
            it.name,
            "killed" if dead else it.state,
            str(metrics.sessions),
            output.mib(metrics.rss),
            f"{metrics.cpu:.0%}",
            str(metrics.forwarded),
            f"{metrics.load:.2f}",
            style="red" if dead else None,
        )
    if scene.killed and all(it.name != scene.killed for it in scene.nodes):
        table.add_row(scene.killed, "killed", "0", "-", "-", "-", "-", style="red")
    verdict = scene.verdict
    flow = Text.assemble(
        "\n",  # the bar ends without one
        ("posted ", "dim"),
        f"{scene.posted}/{scene.messages}   ",
        ("copied ", "dim"),
        f"{verdict.get('delivered', 0)}   ",
        ("on their way ", "dim"),
        f"{verdict.get('lost', 0)}   ",
        ("doubled ", "dim"),
        f"{verdict.get('duplicated', 0)}   ",
        ("out of order ", "dim"),
        f"{verdict.get('out_of_order', 0)}   ",
        ("revoked ", "dim"),
        f"{verdict.get('revoked', 0)}",
    )
    news = Text("\n".join(f"• {line}" for line in scene.news[-8:]))
    title = Text(f"afx demo: {scene.phase}", style="bold")
    bar = ProgressBar(total=max(1, scene.messages), completed=verdict.get("delivered", 0), width=60)
    return Group(title, table, bar, flow, news)


def _summary(result: dict[str, Any], good: bool) -> None:
    latency = result["latency_ms"]
    print()
    print(
        f"{result['published']} messages were posted to {result['sessions']} accounts on "
        f"{result['workers']} nodes; {result['delivered']} of {result['expected']} copies arrived."
    )
    print(
        f"Lost {result['lost']}, doubled {result['duplicated']}, out of order "
        f"{result['out_of_order']}, logins revoked {result['revoked']}."
    )
    if latency["p50"] is not None:
        print(f"Half of the copies took under {latency['p50']} ms, 99 % under {latency['p99']} ms.")
    failover = result["failover"]
    if failover:
        print(
            f"Node {failover['node']} was killed with {failover['sessions']} sessions: noticed "
            f"after {failover['detected_s']} s, all forwarding again after "
            f"{failover['recovered_s']} s."
        )
    print("This is what afx is for." if good else "THIS IS A FAULT: none of these may be above 0.")
    print()
    print("Next: 'afx up' runs a cluster that stays; 'afx sandbox start' is a Telegram to try it")
    print("on; README.md shows both together, and how to use a real account.")
