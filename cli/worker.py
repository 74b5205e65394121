"""afx worker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import common, complete, groups, output
from cli.shared import Invocation, shared

if TYPE_CHECKING:
    from afx.operations.requests import Requested

app = groups.group("Worker nodes: they run the sessions.")
Names = Annotated[
    list[str],
    typer.Argument(
        metavar="NODE", help="Nodes, or unique beginnings.", autocompletion=complete.workers
    ),
]
SomeNames = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NODE", help="Nodes, or unique beginnings.", autocompletion=complete.workers
    ),
]
Label = Annotated[
    list[str] | None,
    typer.Option("--label", "-l", metavar="KEY=VALUE", help="All live nodes with this label."),
]
Every = Annotated[bool, typer.Option("--all", help="All live nodes.")]
_COLUMNS = ["NODE", "STATE", "SESSIONS", "MAX", "RSS", "FREE", "CPU", "FORWARDED", "HOST", "LABELS"]


@app.command()
@shared("redis_url")
def start(
    invocation: Invocation,
    name: Annotated[
        str | None, typer.Option("--name", help="The node's name [default: host and a number].")
    ] = None,
    max_sessions: Annotated[
        int | None, typer.Option("--max-sessions", min=1, help="Sessions it may run.")
    ] = None,
    ram_limit_mib: Annotated[
        int | None, typer.Option("--ram-limit-mib", min=1, help="RAM it may use, in MiB.")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", "-l", metavar="KEY=VALUE", help="A label; may be repeated."),
    ] = None,
    processes: Annotated[
        str | None,
        typer.Option("--processes", metavar="N|auto", help="Host processes; auto: one per core."),
    ] = None,
) -> None:
    """Run a worker node until it is stopped.

    Sessions of one host process share a core: give a node on a larger machine several.

    Example:  afx worker start --name w1 --label region=eu --redis-url redis://10.0.0.5:6379
    """
    from afx.app import node_name, run_worker

    settings = common.settings(
        redis_url=invocation.redis_url,
        max_sessions=max_sessions,
        ram_limit_mib=ram_limit_mib,
        labels=common.labels(label) if label else None,
        processes=0 if processes == "auto" else processes,
    )
    name = node_name(name, settings.processes)
    run_worker(settings, name, restart=common.restart_command("--name", name))


@app.command("list")
@shared("watch", "redis_url", "json")
def list_(
    invocation: Invocation,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", "-l", metavar="KEY=VALUE", help="Only with this label."),
    ] = None,
) -> None:
    """List the nodes that Redis knows; with --json each of their host processes.

    Example:  afx worker list --json
    """
    from afx.operations import workers

    required = common.labels(label)

    def draw() -> None:
        found = workers.listing(invocation.context, required)
        if invocation.json:
            output.print_json(found)
            return
        output.print_table(
            _COLUMNS,
            (
                (
                    it.name if it.processes == 1 else f"{it.name} ({it.processes} processes)",
                    it.state,
                    it.sessions,
                    it.max_sessions,
                    output.mib(it.rss),
                    output.mib(it.ram_free),
                    f"{it.cpu:.0%}",
                    it.forwarded,
                    it.hostname,
                    dict(it.labels),
                )
                for it in workers.by_node(found)
            ),
            empty=output.no(
                "nodes", filtered=bool(label), hint="start one with 'afx worker start'"
            ),
        )

    output.repeat(draw, invocation.watch)


@app.command()
@shared("redis_url", "database_url", "json")
def show(
    invocation: Invocation,
    name: Annotated[str, typer.Argument(autocompletion=complete.workers)],
) -> None:
    """Show one node: what it reports, its desired state, its open controls, its processes.

    The name of a node means all its host processes in each command, w1.2 the second one alone.

    Example:  afx worker show w1
    """
    from afx.operations import workers

    found = workers.show(invocation.context, name)
    fields: dict[str, Any] = asdict(found)
    view = fields.pop("view")
    if not invocation.json:
        del fields["processes"]
    if found.view:
        metrics = view["metrics"]
        if not invocation.json:
            for size in ("rss", "ram_free", "ram_limit"):
                metrics[size] = output.mib(metrics[size])
        fields |= {name: view[name] for name in ("incarnation", "max_sessions", "assigned")}
        fields |= {**metrics, "load": round(found.view.metrics.load, 3)}
    output.print_fields(fields, as_json=invocation.json)
    if len(found.processes) > 1 and not invocation.json:
        print()
        output.print_table(
            ["PROCESS", *_COLUMNS[1:8]],
            (
                (
                    it.name,
                    it.state,
                    it.metrics.sessions,
                    it.max_sessions,
                    output.mib(it.metrics.rss),
                    output.mib(it.metrics.ram_free),
                    f"{it.metrics.cpu:.0%}",
                    it.metrics.forwarded,
                )
                for it in found.processes
            ),
            empty="",
        )


@app.command()
@shared("redis_url", "database_url", "json", change=True, timeout=30.0)
def cordon(invocation: Invocation, names: Names) -> None:
    """Give nodes no more sessions; those that they have stay.

    Example:  afx worker cordon w1 w2
    """
    from afx.operations import workers

    invocation.finish(workers.cordon(invocation.context, names), "cordon")


@app.command()
@shared("redis_url", "database_url", "json", change=True, timeout=30.0)
def uncordon(invocation: Invocation, names: Names) -> None:
    """Let nodes get sessions again; ends a drain.

    Example:  afx worker uncordon w1
    """
    from afx.operations import workers

    invocation.finish(workers.uncordon(invocation.context, names), "uncordon")


@app.command()
@shared("redis_url", "database_url", "json")
def preview(
    invocation: Invocation,
    name: Annotated[str, typer.Argument(help="A node.", autocompletion=complete.workers)],
) -> None:
    """Show where the sessions of a node would go if it was drained now, and which find no room.

    Example:  afx worker preview w1
    """
    from afx.operations import placing

    found = placing.preview_drain(invocation.context, name)
    if invocation.json:
        output.print_json(found)
        return
    fit = "all fit" if found.fits else f"{found.left} of them fit on no other node"
    print(f"node {found.worker} has {found.sessions} sessions; {fit}")
    output.print_table(
        ("TO", "SESSIONS"), list(found.targets.items()), empty="None of them would move."
    )
    for it in found.undrainable:
        print(f"{it.session}: {it.reason}")


@app.command()
@shared("redis_url", "database_url", "json", change=True, timeout=600.0)
def drain(invocation: Invocation, names: SomeNames = None, label: Label = None) -> None:
    """Move all sessions of nodes to others; the nodes stay cordoned afterwards.

    Each session stops on its node before it starts on another. A session that fits
    on no other node stays, and moves as soon as there is room. 'afx worker uncordon'
    or 'afx control cancel' cancels the drain.

    Example:  afx worker drain w1 --timeout 120
    """
    from afx.operations import workers

    chosen = _chosen(invocation, names, label)
    invocation.finish(workers.drain(invocation.context, chosen), "drain")


@app.command()
@shared("redis_url", "database_url", "json", change=True, timeout=600.0)
def recycle(
    invocation: Invocation,
    names: SomeNames = None,
    label: Label = None,
    everything: Every = False,
    now: Annotated[
        bool,
        typer.Option("--now", help="Do not empty them first: their sessions stop and restart."),
    ] = False,
    in_place: Annotated[
        bool,
        typer.Option("--in-place", help="A new host on the same node takes over the sessions."),
    ] = False,
) -> None:
    """Restart nodes one after another: each is emptied, restarts, and is ready again.

    Of nodes chosen by label, or all, the one with the fewest sessions is next. With
    --in-place no other node is needed: it frees the memory that a host has come to use.

    A rolling restart of all nodes, without losing a message:

    Example:  afx worker recycle --all
    """
    from afx.errors import UsageError
    from afx.operations import workers

    chosen = _chosen(invocation, names, label, everything)
    if len(chosen) > 1 and not invocation.wait:
        raise UsageError("Several nodes are recycled one after another; leave --no-wait out.")
    if len(chosen) > 1 and not invocation.json:
        print(f"{len(chosen)} nodes, one after another: {', '.join(chosen)}")
    left = list(chosen)

    def rounds() -> Iterator[Sequence[Requested]]:
        while left:
            # Nodes that were named are recycled in that order; else the least loaded one is next.
            name = left[0] if names else workers.least_loaded(invocation.context, left)
            left.remove(name)
            context = invocation.context
            yield workers.recycle_processes(context, name, forced=now, in_place=in_place)

    invocation.finish_rounds(rounds(), "recycle")


@app.command()
@shared("yes", "redis_url", "database_url", "json", change=True, timeout=60.0)
def stop(invocation: Invocation, names: Names) -> None:
    """Let nodes stop their sessions and end; other nodes take over.

    Drain a node first, and its sessions never wait.

    Example:  afx worker stop w1 --yes
    """
    from afx.operations import workers

    invocation.confirm(f"Stop {', '.join(names)}?")
    invocation.finish(workers.stop(invocation.context, names), "stop")


@app.command()
@shared("yes", "redis_url", "database_url", "json", change=True, timeout=30.0)
def remove(invocation: Invocation, names: Names) -> None:
    """Remove nodes that have stopped for good.

    Example:  afx worker remove w1 --yes
    """
    from afx.operations import workers

    invocation.confirm(f"Remove {', '.join(names)}?")
    invocation.finish(workers.remove(invocation.context, names), "remove")


def _chosen(
    invocation: Invocation,
    names: list[str] | None,
    label: list[str] | None,
    everything: bool = False,
) -> list[str]:
    """Return the nodes that a command means: by name, by label, or all live ones."""
    from afx.errors import UsageError
    from afx.operations import workers

    if bool(names) + bool(label) + everything != 1:
        raise UsageError("Say which nodes: by name, or by --label KEY=VALUE.")
    if names:
        return names
    return list(workers.live_names(invocation.context, common.labels(label)))
