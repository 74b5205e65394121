"""afx db."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli import groups, output
from cli.shared import Invocation, shared

app = groups.group("The database: schema, backup, restore.")


@app.command()
@shared("dry_run", "database_url", "json")
def upgrade(invocation: Invocation) -> None:
    """Bring the database to this version's schema; two at once wait for each other.

    Example:  afx db upgrade --database-url postgresql://afx@10.0.0.5/afx
    """
    from afx.operations import databases

    _print_migrations(invocation, "applied", databases.upgrade(invocation.context))


@app.command()
@shared("yes", "dry_run", "database_url", "json")
def downgrade(
    invocation: Invocation,
    to: Annotated[
        str, typer.Option("--to", help="Revert all back through this one [default: the newest].")
    ] = "",
) -> None:
    """Revert migrations, for an older afx; what only newer tables contain is lost.

    Stop the cluster first, and make a backup.

    Example:  afx db downgrade --yes
    """
    from afx.operations import databases

    reverted = databases.revertible(invocation.context, to)
    invocation.confirm(f"Revert {', '.join(reverted)} and lose what only they contain?")
    _print_migrations(invocation, "reverted", databases.downgrade(invocation.context, to))


@app.command()
@shared("database_url", "json")
def status(invocation: Invocation) -> None:
    """Show which migrations the database has and which it lacks.

    Example:  afx db status
    """
    from afx.operations import databases

    found = databases.status(invocation.context)
    if invocation.json:
        output.print_json(found)
        return
    output.print_table(
        ("MIGRATION", "APPLIED"), ((it.name, it.applied_at) for it in found.migrations), empty=""
    )
    pending = ", ".join(found.pending)
    print(f"pending: {pending}" if pending else "the schema is up to date")


@app.command()
@shared("reason", "database_url", "json")
def backup(
    invocation: Invocation,
    file: Annotated[Path, typer.Argument(help="Where to write it.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Write the database as it is at one moment to a file, while the cluster runs.

    The logins in it stay encrypted: store the secret key too, elsewhere.
    SQLite and Postgres write and read the same format.

    Example:  afx db backup /var/backups/afx-$(date +%F).jsonl.gz
    """
    from afx.operations import backups

    contents = backups.make(invocation.context, file, _progress, overwrite=overwrite)
    output.progress_end()
    if invocation.json:
        output.print_json({"file": str(file), **asdict(contents), "rows": contents.rows})
    else:
        print(f"{contents.rows} rows of {len(contents.tables)} tables are in {file}")


@app.command()
@shared("yes", "redis_url", "database_url", "json", change=True)
def restore(
    invocation: Invocation,
    file: Path,
    force: Annotated[
        bool, typer.Option("--force", help="Even when Redis cannot say that no node runs.")
    ] = False,
) -> None:
    """Replace the content of the database by a backup; the cluster must be stopped.

    A node that the restored database does not know might run a session that is
    then given to another one: so it is refused while any node or coordinator runs.

    Example:  afx db restore /var/backups/afx-2026-11-23.jsonl.gz --yes
    """
    from afx.operations import backups

    contents = backups.check(invocation.context, file)
    invocation.confirm(
        f"Replace the content of the database by the {contents.rows} rows of {file}?"
    )
    backups.restore(invocation.context, file, _progress, force=force)
    output.progress_end()
    if invocation.json:
        output.print_json({"file": str(file), **asdict(contents), "rows": contents.rows})
    else:
        invocation.say(f"{contents.rows} rows of {contents.created_at} are restored")


def _progress(table: str, rows: int) -> None:
    output.progress(f"{rows} rows ({table})")


def _print_migrations(invocation: Invocation, what: str, names: list[str]) -> None:
    if invocation.json:
        output.print_json({what: names, "dry_run": invocation.dry_run})
    else:
        invocation.say(f"{what}: {', '.join(names)}" if names else "the schema is up to date")
