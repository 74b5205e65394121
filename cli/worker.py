"""afx worker."""

from __future__ import annotations

import secrets
import socket
from typing import TYPE_CHECKING, Annotated

import typer

from cli import common, complete, groups, output, waiting

if TYPE_CHECKING:
    from afx.config import Settings

app = groups.group("Worker nodes: they run the sessions.")
Names = Annotated[
    list[str],
    typer.Argument(help="Nodes, or unique beginnings.", autocompletion=complete.workers),
]


Some = Annotated[
    list[str] | None,
    typer.Argument(help="Nodes, or unique beginnings.", autocompletion=complete.workers),
]
Label = Annotated[
    list[str] | None, typer.Option("--label", "-l", help="All live nodes with KEY=VALUE.")
]
Every = Annotated[bool, typer.Option("--all", help="All live nodes.")]


@app.callback()
def group() -> None:
    """Worker nodes: they run the sessions."""


@app.command()
def start(
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
        list[str] | None, typer.Option("--label", "-l", help="KEY=VALUE; may be repeated.")
    ] = None,
    redis_url: common.RedisUrl = None,
) -> None:
    """Run a worker node until it is told to stop.

    Example:  afx worker start --name w1 --label region=eu --redis-url redis://10.0.0.5:6379
    """
    from afx.cluster.connection import connect, reachable
    from afx.errors import UsageError
    from afx.logs import configure
    from afx.node.supervisor import Supervisor
    from afx.security.keyfile import read_keys

    held = common.settings(
        redis_url=redis_url,
        max_sessions=max_sessions,
        ram_limit_mib=ram_limit_mib,
        labels=common.labels(label) if label else None,
    )
    configure(held.log_level)
    name = name or f"{socket.gethostname().split('.')[0]}-{secrets.token_hex(2)}"
    if not name.replace("-", "").replace("_", "").isalnum() or len(name) > 100:
        raise UsageError("A node's name has letters, digits, - and _ only; choose another.")
    url = common.redis_url(held, start=True)
    read_keys(held.home, held.secret_key.get_secret_value())
    with reachable(url):
        client = connect(url)
        client.ping()
        client.close()
    if Supervisor(held, url, name).run():
        common.begin_anew("--name", name)


@app.command("list")
def list_(
    label: Annotated[
        list[str] | None, typer.Option("--label", "-l", help="Only with KEY=VALUE.")
    ] = None,
    redis_url: common.RedisUrl = None,
    watch: output.Watch = False,
    json: common.Json = False,
) -> None:
    """List the nodes that Redis knows.

    Example:  afx worker list --json
    """
    from dataclasses import asdict

    from afx.cluster.registry import Registry

    with common.redis_client(common.settings(redis_url=redis_url)) as client:

        def draw() -> None:
            wanted = common.labels(label).items()
            found = [it for it in Registry(client).all() if wanted <= it.labels.items()]
            if json:
                output.print_json([asdict(it) for it in found])
                return
            output.print_table(
                (
                    "NODE",
                    "STATE",
                    "SESSIONS",
                    "MAX",
                    "RSS",
                    "FREE",
                    "CPU",
                    "FORWARDED",
                    "HOST",
                    "LABELS",
                ),
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
                        it.hostname,
                        dict(it.labels),
                    )
                    for it in found
                ),
                empty=output.no(
                    "nodes", filtered=bool(label), hint="start one with 'afx worker start'"
                ),
            )

        output.repeat(draw, watch)


@app.command()
def show(
    name: Annotated[str, typer.Argument(autocompletion=complete.workers)],
    redis_url: common.RedisUrl = None,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """Show one node: what it reports, what is wanted of it, its open controls.

    Example:  afx worker show w1
    """
    from dataclasses import asdict

    held = common.settings(redis_url=redis_url, database_url=database_url)
    with common.redis_client(held) as client, common.database(held):
        from afx.cluster.registry import Registry
        from models.storage import controls, workers

        worker = workers.find(name)
        view = next((it for it in Registry(client).all() if it.name == worker.name), None)
        opened = controls.listing(worker=worker.name, only_open=True, limit=20)
        fields = {
            "name": worker.name,
            "state": view.state if view else worker.state,
            "desired_state": worker.desired_state,
            "hostname": worker.hostname,
            "first_seen": worker.first_seen,
            "last_seen": worker.last_seen,
            "controls": [f"{it['id']} {it['kind']} ({it['state']})" for it in opened.rows],
        }
        if view:
            metrics = asdict(view.metrics)
            if not json:
                for size in ("rss", "ram_free", "ram_limit"):
                    metrics[size] = output.mib(metrics[size])
            fields |= {
                "incarnation": view.incarnation,
                "max_sessions": view.max_sessions,
                "assigned": view.assigned,
                **metrics,
                "load": round(view.metrics.load, 3),
            }
    output.print_fields(fields, as_json=json)


@app.command()
def cordon(
    names: Names,
    wait: waiting.Wait = True,
    timeout: waiting.Timeout = 30.0,
    dry_run: common.DryRun = False,
    redis_url: common.RedisUrl = None,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """Give nodes no more sessions; those that they have stay.

    Example:  afx worker cordon w1 w2
    """
    _control("cordon", names, wait, timeout, dry_run, redis_url, database_url, json)


@app.command()
def uncordon(
    names: Names,
    wait: waiting.Wait = True,
    timeout: waiting.Timeout = 30.0,
    dry_run: common.DryRun = False,
    redis_url: common.RedisUrl = None,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """Let nodes be given sessions again; ends a drain.

    Example:  afx worker uncordon w1
    """
    _control("uncordon", names, wait, timeout, dry_run, redis_url, database_url, json)


@app.command()
def drain(
    names: Some = None,
    label: Label = None,
    wait: waiting.Wait = True,
    timeout: waiting.Timeout = 600.0,
    dry_run: common.DryRun = False,
    redis_url: common.RedisUrl = None,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """Move all sessions of nodes to others; they stay cordoned afterwards.

    Each session stops on its node before it starts on another. What fits
    nowhere else stays, and goes as soon as there is room. 'afx worker uncordon'
    or 'afx control cancel' calls it off.

    Example:  afx worker drain w1 --timeout 120
    """
    held = common.settings(redis_url=redis_url, database_url=database_url)
    names = _chosen(held, names, label)
    _control("drain", names, wait, timeout, dry_run, redis_url, database_url, json)


@app.command()
def recycle(
    names: Some = None,
    label: Label = None,
    everything: Every = False,
    now: Annotated[
        bool,
        typer.Option("--now", help="Do not empty them first: their sessions stop and start anew."),
    ] = False,
    timeout: waiting.Timeout = 600.0,
    redis_url: common.RedisUrl = None,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """Renew nodes one after another: each is emptied, begins anew, and is ready again.

    A rolling restart of all nodes, without a message lost:

    Example:  afx worker recycle --all
    """
    from cli.common import changing

    with changing(database_url, redis_url=redis_url) as (held, who):
        from afx.operations import workers

        chosen = _chosen(held, names, label, everything)
        if len(chosen) > 1 and not json:
            print(f"{len(chosen)} nodes, one after another: {', '.join(chosen)}")
        for name in chosen:
            requested = [workers.recycle(who, name, forced=now)]
            waiting.finish(
                requested,
                "recycle",
                held=held,
                wait=True,
                timeout=timeout,
                dry_run=False,
                as_json=json,
            )


@app.command()
def stop(
    names: Names,
    yes: common.Yes = False,
    wait: waiting.Wait = True,
    timeout: waiting.Timeout = 60.0,
    dry_run: common.DryRun = False,
    redis_url: common.RedisUrl = None,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """Let nodes stop their sessions and end; other nodes take these up.

    Drain a node first, and its sessions never wait.

    Example:  afx worker stop w1 --yes
    """
    common.confirm(f"Stop {', '.join(names)}?", yes or dry_run)
    _control("stop", names, wait, timeout, dry_run, redis_url, database_url, json)


@app.command()
def remove(
    names: Names,
    yes: common.Yes = False,
    wait: waiting.Wait = True,
    timeout: waiting.Timeout = 30.0,
    dry_run: common.DryRun = False,
    redis_url: common.RedisUrl = None,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """Forget nodes that have stopped for good.

    Example:  afx worker remove w1 --yes
    """
    common.confirm(f"Remove {', '.join(names)}?", yes or dry_run)
    _control("remove", names, wait, timeout, dry_run, redis_url, database_url, json)


def _control(
    kind: str,
    names: list[str],
    wait: bool,
    timeout: float,
    dry_run: bool,
    redis_url: str | None,
    database_url: str | None,
    json: bool,
) -> None:
    with common.changing(database_url, dry_run=dry_run, redis_url=redis_url) as (held, who):
        from afx.operations import workers
        from models.base import transaction

        act = workers.end if kind in ("stop", "remove") else workers.want
        with transaction():
            # All or none: a name that is wrong leaves the others as they were.
            requested = [act(who, kind, name) for name in names]
        waiting.finish(
            requested, kind, held=held, wait=wait, timeout=timeout, dry_run=dry_run, as_json=json
        )


def _chosen(
    held: Settings, names: list[str] | None, label: list[str] | None, everything: bool = False
) -> list[str]:
    """Return the nodes that a command means: by name, by label, or all that live."""
    from afx.cluster.registry import LIVE_STATES, Registry
    from afx.errors import UsageError

    if bool(names) + bool(label) + everything != 1:
        raise UsageError("Say which nodes: by name, or by --label KEY=VALUE.")
    if names:
        return names
    wanted = common.labels(label).items()
    with common.redis_client(held) as client:
        found = [
            it.name
            for it in Registry(client).all()
            if it.state in LIVE_STATES and wanted <= it.labels.items()
        ]
    if not found:
        raise UsageError("There is no such node that lives; 'afx worker list' shows them all.")
    return found
