"""afx user."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import common, complete, groups, output

app = groups.group("Users: the customers who own sessions.")
Tier = Annotated[
    str, typer.Option("--tier", help="premium or free.", autocompletion=complete.tiers)
]
Name = Annotated[
    str, typer.Argument(help="A name, or a unique beginning.", autocompletion=complete.users)
]


@app.command()
def add(
    name: str,
    tier: Tier = "free",
    dry_run: common.DryRun = False,
    database_url: common.DatabaseUrl = None,
) -> None:
    """Add a user.

    Example:  afx user add alice --tier premium
    """
    with common.changing(database_url, dry_run=dry_run) as (_, who):
        from afx.operations import users

        users.add(who, name, tier)
    common.say(f"user {name} added ({tier})", dry_run=dry_run)


@app.command("list")
def list_(
    tier: Annotated[
        str | None,
        typer.Option("--tier", help="Only of this tier.", autocompletion=complete.tiers),
    ] = None,
    limit: output.Limit = None,
    after: output.After = None,
    everything: output.Everything = False,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """List users, by name.

    Example:  afx user list --tier premium
    """
    with common.reading(database_url):
        from models.storage import users

        output.print_list(
            lambda begin, most: users.listing(after=begin, limit=most, tier=tier),
            ("ID", "NAME", "TIER", "SESSIONS", "CREATED"),
            lambda it: (it["id"], it["name"], it["tier"], it["sessions"], it["created_at"]),
            as_json=json,
            limit=limit,
            after=after,
            everything=everything,
            empty=output.no(
                "users", filtered=tier is not None, hint="add one with 'afx user add NAME'"
            ),
        )


@app.command()
def show(name: Name, database_url: common.DatabaseUrl = None, json: common.Json = False) -> None:
    """Show one user and the first of his sessions.

    Example:  afx user show alice
    """
    with common.reading(database_url):
        from models.storage import sessions, users
        from models.storage.sessions import SessionFilter

        user = users.find(name)
        held = sessions.listing(SessionFilter(user=user.name), limit=20)
        fields = {
            "id": user.id,
            "name": user.name,
            "tier": user.tier,
            "created_at": user.created_at,
            "sessions": [it["name"] for it in held.rows] + (["…"] if held.next else []),
        }
    output.print_fields(fields, as_json=json)


@app.command()
def tier(
    name: Name,
    tier: Annotated[str, typer.Argument(help="premium or free.", autocompletion=complete.tiers)],
    dry_run: common.DryRun = False,
    database_url: common.DatabaseUrl = None,
) -> None:
    """Change a user's tier.

    Example:  afx user tier alice premium
    """
    with common.changing(database_url, dry_run=dry_run) as (_, who):
        from afx.operations import users

        full, before = users.set_tier(who, name, tier)
    common.say(f"user {full}: {before} → {tier}", dry_run=dry_run)


@app.command()
def remove(
    name: Name,
    yes: common.Yes = False,
    dry_run: common.DryRun = False,
    database_url: common.DatabaseUrl = None,
) -> None:
    """Remove a user who owns no session.

    Example:  afx user remove alice --yes
    """
    with common.changing(database_url, dry_run=dry_run) as (_, who):
        from afx.operations import users
        from models.storage.users import find

        common.confirm(f"Remove user '{find(name).name}'?", yes or dry_run)
        full = users.remove(who, name)
    common.say(f"user {full} removed", dry_run=dry_run)
