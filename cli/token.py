"""afx token."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cli import complete, groups, output
from cli.shared import Invocation, shared

app = groups.group("Tokens: who may use the REST API and the dashboard, and for what.")
Name = Annotated[str, typer.Argument(help="As 'afx token list' shows it.")]


@app.command()
@shared("database_url", "json", change=True)
def create(
    invocation: Invocation,
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scopes: Annotated[
        list[str],
        typer.Option(
            "--scope", metavar="NOUN:VERB", help="Such as session:read or *:read; repeat it."
        ),
    ],
    owner: Annotated[
        str,
        typer.Option(
            "--owner",
            help="A user: only this user's sessions exist for it.",
            autocompletion=complete.users,
        ),
    ] = "",
    days: Annotated[float, typer.Option("--days", help="How long it is valid, in days.")] = 30.0,
) -> None:
    """Make a token, and print it: the only time that it is shown.

    Example:  afx token create ci --scope '*:read' --days 7
    """
    from afx.operations import tokens

    made = tokens.create(invocation.context, name, scopes=scopes, owner=owner, days=days)
    if invocation.json:
        output.print_json({**asdict(made), "dry_run": invocation.dry_run})
    elif invocation.dry_run:
        invocation.say(f"token {made.name} would be valid until {output.cell(made.expires_at)}")
    else:
        print(made.token)


@app.command("list")
@shared("database_url", "json", pages=True)
def list_(invocation: Invocation) -> None:
    """List tokens, by name; also expired and revoked ones.

    Example:  afx token list
    """
    from afx.operations import tokens

    invocation.print_list(
        lambda after, limit: tokens.listing(invocation.context, after=after, limit=limit),
        ("ID", "NAME", "ACCESSOR", "SCOPES", "OWNER", "EXPIRES", "LAST USED", "REVOKED"),
        lambda it: (
            it.id,
            it.name,
            it.accessor,
            it.scopes,
            it.owner,
            it.expires_at,
            it.last_used_at,
            it.revoked_at,
        ),
        empty=output.no("tokens", filtered=False, hint="'afx token create' makes one"),
    )


@app.command()
@shared("yes", "database_url", change=True)
def revoke(invocation: Invocation, name: Name) -> None:
    """Revoke a token for good; within five seconds it is refused.

    Example:  afx token revoke ci --yes
    """
    from afx.operations import tokens

    found = tokens.show(invocation.context, name)
    invocation.confirm(f"Revoke token '{found.name}'?")
    invocation.say(f"token {tokens.revoke(invocation.context, found.name)} revoked")
