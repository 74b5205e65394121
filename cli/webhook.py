"""afx webhook."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cli import complete, groups, output
from cli.shared import Invocation, shared

app = groups.group("Webhooks: URLs that are told of events, such as a lost node.")
Name = Annotated[
    str,
    typer.Argument(help="As 'afx webhook list' shows it.", autocompletion=complete.webhooks),
]


@app.command()
@shared("database_url", "json", change=True)
def add(
    invocation: Invocation,
    name: Annotated[str, typer.Argument(help="What it is for.")],
    url: Annotated[str, typer.Argument(help="https://HOST/PATH.")],
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            metavar="KIND",
            help="A kind of event, such as worker.lost; repeat it [default: all].",
            autocompletion=complete.event_kinds,
        ),
    ] = None,
    owner: Annotated[
        str,
        typer.Option(
            "--owner",
            help="A user: it is told of this user's sessions only.",
            autocompletion=complete.users,
        ),
    ] = "",
) -> None:
    """Let a URL be told of events, and print its secret: the only time that it is shown.

    Requests are signed with the secret; see docs/webhooks.md.

    Example:  afx webhook add pager https://example.org/afx --kind worker.lost
    """
    from afx.operations import webhooks

    made = webhooks.add(invocation.context, name, url, kinds=kind or (), owner=owner)
    _print_secret(invocation, made, f"webhook {made.name} would be told of events")


@app.command("list")
@shared("database_url", "json", pages=True)
def list_(invocation: Invocation) -> None:
    """List webhooks by name.

    Example:  afx webhook list
    """
    from afx.operations import webhooks

    invocation.print_list(
        lambda after, limit: webhooks.listing(invocation.context, after=after, limit=limit),
        ("NAME", "STATE", "URL", "KINDS", "OWNER", "FAILING SINCE", "ERROR"),
        lambda it: (
            it.name,
            it.state,
            it.url,
            it.kinds or "all",
            it.owner,
            it.failing_since,
            it.error,
        ),
        empty=output.no("webhooks", filtered=False, hint="'afx webhook add' makes one"),
    )


@app.command()
@shared("database_url", "json")
def show(invocation: Invocation, name: Name) -> None:
    """Show one webhook.

    Example:  afx webhook show pager
    """
    from afx.operations import webhooks

    found = webhooks.show(invocation.context, name)
    output.print_fields(asdict(found), as_json=invocation.json)


@app.command()
@shared("yes", "database_url", change=True)
def remove(invocation: Invocation, name: Name) -> None:
    """Remove a webhook with its deliveries.

    Example:  afx webhook remove pager --yes
    """
    from afx.operations import webhooks

    full = webhooks.show(invocation.context, name).name
    invocation.confirm(f"Remove webhook '{full}' with its deliveries?")
    invocation.say(f"webhook {webhooks.remove(invocation.context, full)} removed")


@app.command()
@shared("database_url", "json", change=True)
def rotate(invocation: Invocation, name: Name) -> None:
    """Make a new secret, and print it once; the old one signs beside it for a day.

    Example:  afx webhook rotate pager
    """
    from afx.operations import webhooks

    made = webhooks.rotate(invocation.context, name)
    _print_secret(invocation, made, f"webhook {made.name} would get a new secret")


@app.command()
@shared("database_url", change=True)
def resume(invocation: Invocation, name: Name) -> None:
    """Let a suspended webhook be told of events again.

    Example:  afx webhook resume pager
    """
    from afx.operations import webhooks

    invocation.say(f"webhook {webhooks.resume(invocation.context, name)} is active")


@app.command()
@shared("database_url", change=True)
def test(invocation: Invocation, name: Name) -> None:
    """Send an event that only tries a webhook; 'afx webhook deliveries' shows what came of it.

    Example:  afx webhook test pager
    """
    from afx.operations import webhooks

    made = webhooks.test(invocation.context, name)
    invocation.say(f"delivery {made} waits for the leader to send it")


@app.command()
@shared("database_url", "json", pages=True)
def deliveries(
    invocation: Invocation,
    name: Name,
    state: Annotated[
        str | None, typer.Option("--state", help="waiting, delivered or failed.")
    ] = None,
) -> None:
    """List what was sent to a webhook, the newest first.

    Example:  afx webhook deliveries pager --state failed
    """
    from afx.errors import UsageError
    from afx.operations import webhooks

    if state is not None and state not in webhooks.STATES:
        raise UsageError(f"A delivery is {', '.join(webhooks.STATES)}; give one of these.")
    invocation.print_list(
        lambda after, limit: webhooks.deliveries(
            invocation.context, name, after=after, limit=limit, state=state
        ),
        ("ID", "KIND", "SUBJECT", "STATE", "ATTEMPTS", "STATUS", "CREATED", "NEXT", "ERROR"),
        lambda it: (
            it.id,
            it.kind,
            it.subject,
            it.state,
            it.attempts,
            it.status,
            it.created_at,
            it.next_at if it.state == "waiting" else None,
            it.error,
        ),
        empty=output.no("deliveries", filtered=state is not None),
        by_id=True,
    )


@app.command()
@shared("database_url", change=True)
def redeliver(
    invocation: Invocation,
    delivery: Annotated[int, typer.Argument(min=1, help="As 'afx webhook deliveries' shows it.")],
) -> None:
    """Send a delivery again; the receiver knows it by its id.

    Example:  afx webhook redeliver 17
    """
    from afx.operations import webhooks

    found = webhooks.redeliver(invocation.context, delivery)
    invocation.say(f"delivery {found.id} to {found.webhook} is sent again")


def _print_secret(invocation: Invocation, made: object, would: str) -> None:
    from afx.operations.webhooks import IssuedSecret

    assert isinstance(made, IssuedSecret)
    if invocation.json:
        output.print_json({**asdict(made), "dry_run": invocation.dry_run})
    elif invocation.dry_run:
        invocation.say(would)
    else:
        print(made.secret)
