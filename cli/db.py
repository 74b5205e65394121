"""afx db."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import common, groups, output

app = groups.group("The database: schema, backup, restore.")


@app.command()
def upgrade(
    dry_run: common.DryRun = False,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """Bring the database to this version's schema; two at once wait for each other.

    Example:  afx db upgrade --database-url postgresql://afx@10.0.0.5/afx
    """
    with common.database(common.settings(database_url=database_url), check=False):
        from models import schema

        done = schema.pending() if dry_run else schema.upgrade()
    _told("applied", done, dry_run=dry_run, as_json=json)


@app.command()
def downgrade(
    to: Annotated[
        str, typer.Option("--to", help="Revert all back through this one [default: the newest].")
    ] = "",
    yes: common.Yes = False,
    dry_run: common.DryRun = False,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """Revert migrations, for an older afx; what only newer tables hold is lost.

    Stop the cluster first, and make a backup.

    Example:  afx db downgrade --yes
    """
    with common.database(common.settings(database_url=database_url), check=False):
        from afx.errors import UsageError
        from models import schema

        applied = schema.applied()
        if not applied:
            raise UsageError("The database has no migration to revert.")
        if to and to not in applied:
            raise UsageError(f"'{to}' is not applied; 'afx db status' shows what is.")
        going = applied[applied.index(to) if to else -1 :][::-1]
        common.confirm(f"Revert {', '.join(going)} and lose what it holds?", yes or dry_run)
        done = going if dry_run else schema.downgrade(to or None)
    _told("reverted", done, dry_run=dry_run, as_json=json)


@app.command()
def status(database_url: common.DatabaseUrl = None, json: common.Json = False) -> None:
    """Tell which migrations the database has and which it lacks.

    Example:  afx db status
    """
    with common.database(common.settings(database_url=database_url), check=False):
        from models import schema

        found = schema.status()
    pending = [it["name"] for it in found if not it["applied_at"]]
    if json:
        output.print_json({"migrations": found, "pending": pending})
        return
    output.print_table(
        ("MIGRATION", "APPLIED"), ((it["name"], it["applied_at"]) for it in found), empty=""
    )
    print(f"pending: {', '.join(pending)}" if pending else "the schema is up to date")


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Where to write it.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """Write all of one moment to a file, while the cluster runs.

    The logins in it stay encrypted: keep the secret key with it, elsewhere.
    SQLite and Postgres write and read the same format.

    Example:  afx db backup /var/backups/afx-$(date +%F).jsonl.gz
    """
    with common.changing(database_url) as (_, who):
        from dataclasses import asdict

        from afx.operations import backups

        held = backups.make(who, file, _progress, overwrite=overwrite)
    output.progress_end()
    if json:
        output.print_json({"file": str(file), **asdict(held), "rows": held.rows})
    else:
        print(f"{held.rows} rows of {len(held.tables)} tables are in {file}")


@app.command()
def restore(
    file: Path,
    yes: common.Yes = False,
    force: Annotated[
        bool, typer.Option("--force", help="Even when Redis cannot say that no node runs.")
    ] = False,
    dry_run: common.DryRun = False,
    redis_url: common.RedisUrl = None,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """Replace all that the database holds by a backup; the cluster must be stopped.

    A node that ran on unknown to the restored database might run a session that
    is then given to another one: so with any node or coordinator alive it is
    refused.

    Example:  afx db restore /var/backups/afx-2026-11-23.jsonl.gz --yes
    """
    with common.changing(database_url, dry_run=dry_run, redis_url=redis_url) as (settings, who):
        from dataclasses import asdict

        from afx.operations import backups
        from models import backup as files

        held = files.check(file)
        common.confirm(
            f"Replace all that the database holds by the {held.rows} rows of {file}?",
            yes or dry_run,
        )
        with backups.quiet_cluster(settings, force=force) as client:
            backups.restore(who, file, _progress, client)
    output.progress_end()
    if json:
        output.print_json({"file": str(file), **asdict(held), "rows": held.rows})
    else:
        common.say(f"{held.rows} rows of {held.created_at} are restored", dry_run=dry_run)


def _progress(table: str, rows: int) -> None:
    output.progress(f"{rows} rows ({table})")


def _told(what: str, names: list[str], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        output.print_json({what: names, "dry_run": dry_run})
    else:
        common.say(
            f"{what}: {', '.join(names)}" if names else "the schema is up to date", dry_run=dry_run
        )
