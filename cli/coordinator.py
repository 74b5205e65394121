"""afx coordinator."""

from __future__ import annotations

import signal

import typer

from cli import common, groups, output, waiting

app = groups.group("The coordinator: places sessions on nodes.")


@app.callback()
def group() -> None:
    """The coordinator: places sessions on nodes."""


@app.command()
def start(redis_url: common.RedisUrl = None, database_url: common.DatabaseUrl = None) -> None:
    """Run a coordinator until it is told to stop; several stand by for each other.

    Example:  afx coordinator start --redis-url redis://10.0.0.5:6379
    """
    from afx.coordinator.loop import Coordinator
    from afx.logs import configure

    held = common.settings(redis_url=redis_url, database_url=database_url)
    configure(held.log_level)
    url = common.redis_url(held, start=True)
    with common.database(held):
        coordinator = Coordinator(held, url, common.vault(held))
        signal.signal(signal.SIGTERM, coordinator.request_stop)
        signal.signal(signal.SIGINT, coordinator.request_stop)
        begins_anew = coordinator.run()
    if begins_anew:
        common.begin_anew()


@app.command()
def recycle(
    wait: waiting.Wait = True,
    timeout: waiting.Timeout = 60.0,
    dry_run: common.DryRun = False,
    redis_url: common.RedisUrl = None,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """Let all coordinators begin anew: standbys first, then the one that leads.

    Each keeps its pid and runs the program as it is on the disk by then. Sessions
    go on meanwhile.

    Example:  afx coordinator recycle
    """
    with common.changing(database_url, dry_run=dry_run, redis_url=redis_url) as (held, who):
        from afx.operations import coordinators

        waiting.finish(
            [coordinators.recycle(who)],
            "recycle",
            held=held,
            wait=wait,
            timeout=timeout,
            dry_run=dry_run,
            as_json=json,
        )


@app.command()
def status(
    redis_url: common.RedisUrl = None,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """Show which coordinator leads, and since which term; exits 3 when none does.

    Example:  afx coordinator status --json
    """
    held = common.settings(redis_url=redis_url, database_url=database_url)
    with common.redis_client(held) as client, common.database(held):
        from afx.cluster import keys
        from models.storage import cluster

        leader = str(client.get(keys.LEADER) or "")
        fields = {
            "leader": leader.rpartition(":")[0] or None,
            "term": int(client.get(keys.TERM) or 0),
            "term_in_sql": cluster.term(),
            "generation": int(client.get(keys.GENERATION) or 0),
        }
    output.print_fields(fields, as_json=json)
    if not leader:
        raise typer.Exit(3)
