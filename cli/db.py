"""afx db."""

from __future__ import annotations

import typer

from cli import common

app = typer.Typer(help="The database's schema.", no_args_is_help=True)


@app.command()
def upgrade(database_url: common.DatabaseUrl = None) -> None:
    """Bring the database to this version's schema."""
    from models import base, schema

    held = common.settings(database_url=database_url)
    base.open_database(held.database)
    try:
        applied = schema.upgrade()
    finally:
        base.close_database()
    print(f"applied: {', '.join(applied)}" if applied else "the schema is up to date")


@app.command()
def status(database_url: common.DatabaseUrl = None) -> None:
    """Tell which migrations the database lacks."""
    from models import base, schema

    held = common.settings(database_url=database_url)
    base.open_database(held.database)
    try:
        pending = schema.pending()
    finally:
        base.close_database()
    print(f"pending: {', '.join(pending)}" if pending else "the schema is up to date")
