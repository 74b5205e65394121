"""afx user."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import common

app = typer.Typer(help="Users: the customers who own sessions.", no_args_is_help=True)


@app.command()
def add(
    name: str,
    tier: Annotated[str, typer.Option("--tier", help="premium or free.")] = "free",
    database_url: common.DatabaseUrl = None,
) -> None:
    """Add a user.

    Example:  afx user add alice --tier premium
    """
    from models.storage import users

    with common.database(common.settings(database_url=database_url)):
        users.create(name, tier)
    print(f"user {name} added ({tier})")


@app.command("list")
def list_(database_url: common.DatabaseUrl = None, json: common.Json = False) -> None:
    """List all users."""
    from models.storage import users

    with common.database(common.settings(database_url=database_url)):
        found = [
            {"id": it.id, "name": it.name, "tier": it.tier, "created_at": it.created_at}
            for it in users.all_users()
        ]
    if json:
        common.print_json(found)
        return
    common.print_table(
        ("ID", "NAME", "TIER", "CREATED"), (list(it.values()) for it in found),
        empty="There is no user; add one with 'afx user add NAME'.",
    )  # fmt: skip
