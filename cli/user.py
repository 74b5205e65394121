"""afx user."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cli import complete, groups, output, sort_options
from cli.shared import Invocation, shared

app = groups.group("Users: the customers who own sessions.")
Tier = Annotated[
    str, typer.Option("--tier", help="premium or free.", autocompletion=complete.tiers)
]
Name = Annotated[
    str, typer.Argument(help="A name, or a unique beginning.", autocompletion=complete.users)
]


@app.command()
@shared("database_url", change=True)
def add(invocation: Invocation, name: str, tier: Tier = "free") -> None:
    """Add a user.

    Example:  afx user add alice --tier premium
    """
    from afx.operations import users

    users.add(invocation.context, name, tier)
    invocation.say(f"user {name} added ({tier})")


@app.command("list")
@shared("database_url", "json", pages=True)
def list_(
    invocation: Invocation,
    tier: Annotated[
        str | None,
        typer.Option("--tier", help="Only of this tier.", autocompletion=complete.tiers),
    ] = None,
    sort: sort_options.ByName = "name",
) -> None:
    """List users, by name.

    Example:  afx user list --tier premium
    """
    from afx.operations import users

    invocation.print_list(
        lambda after, limit: users.listing(
            invocation.context, after=after, limit=limit, tier=tier, sort=sort
        ),
        ("ID", "NAME", "TIER", "SESSIONS", "CREATED"),
        lambda it: (it.id, it.name, it.tier, it.sessions, it.created_at),
        empty=output.no(
            "users", filtered=tier is not None, hint="add one with 'afx user add NAME'"
        ),
        by_id=sort.endswith("id"),
    )


@app.command()
@shared("database_url", "json")
def show(invocation: Invocation, name: Name) -> None:
    """Show one user and the first of the user's sessions.

    Example:  afx user show alice
    """
    from afx.operations import users

    found = users.show(invocation.context, name)
    output.print_fields(asdict(found), as_json=invocation.json)


@app.command()
@shared("database_url", change=True)
def tier(
    invocation: Invocation,
    name: Name,
    tier: Annotated[str, typer.Argument(help="premium or free.", autocompletion=complete.tiers)],
) -> None:
    """Change a user's tier.

    Example:  afx user tier alice premium
    """
    from afx.operations import users

    full, before = users.set_tier(invocation.context, name, tier)
    invocation.say(f"user {full}: {before} → {tier}")


@app.command()
@shared("database_url", change=True)
def tasks(
    invocation: Invocation,
    name: Name,
    share: Annotated[
        int | None,
        typer.Option(
            "--share", min=1, help="So many of its tasks run for each one of others [1 to 100]."
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=0, help="Unfinished tasks at most; 0: as many as others."),
    ] = None,
) -> None:
    """Change a user's share of the queues of tasks, and how many it may have.

    Example:  afx user tasks alice --share 3 --limit 1000
    """
    from afx.operations import users

    found = users.set_task_share(invocation.context, name, share=share, limit=limit)
    limited = f"at most {found.task_limit}" if found.task_limit is not None else "no limit"
    invocation.say(f"user {found.name}: share {found.task_share}, {limited} unfinished tasks")


@app.command()
@shared("yes", "database_url", change=True)
def remove(invocation: Invocation, name: Name) -> None:
    """Remove a user who owns no session.

    Example:  afx user remove alice --yes
    """
    from afx.operations import users

    found = users.show(invocation.context, name)
    invocation.confirm(f"Remove user '{found.name}'?")
    invocation.say(f"user {users.remove(invocation.context, found.name)} removed")
