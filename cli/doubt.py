"""afx rule doubt."""

from __future__ import annotations

from typing import Annotated

import typer

from afx.errors import UsageError
from cli import complete, groups, output
from cli.shared import Invocation, shared

app = groups.group("Doubts: what a sender of a rule may have sent, and nothing tells.")
Which = Annotated[
    str,
    typer.Argument(metavar="RULE", help="An id, or SESSION/NAME.", autocompletion=complete.rules),
]


@app.command("list")
@shared("database_url", "json")
def list_(invocation: Invocation, rule: Which) -> None:
    """List what a sender of a rule may have sent: the rule's lane waits for it.

    Example:  afx rule doubt list main/pooled
    """
    from afx.operations import doubts

    rows = doubts.listing(invocation.context, rule)
    if invocation.json:
        output.print_json(rows)
        return
    output.print_table(
        ("SENDER", "FROM", "MESSAGE", "TO", "SINCE", "DECISION"),
        [(it.sender, it.source, it.message, it.destination, it.since, it.decision) for it in rows],
        empty=output.no("doubts", filtered=False),
    )


@app.command()
@shared("yes", "database_url", "json", change=True)
def decide(
    invocation: Invocation,
    rule: Which,
    sent: Annotated[
        int | None,
        typer.Option("--sent", metavar="COPY", min=1, help="It was sent; this is its copy's id."),
    ] = None,
    not_sent: Annotated[
        bool, typer.Option("--not-sent", help="It was not sent: another sender sends it.")
    ] = False,
    message: Annotated[
        int | None,
        typer.Option("--message", min=0, help="Only this message; 0: those that are not known."),
    ] = None,
    source: Annotated[
        int | None, typer.Option("--from", metavar="ID", help="Only of this source.")
    ] = None,
    destination: Annotated[
        int | None, typer.Option("--to", metavar="ID", help="Only in this destination.")
    ] = None,
) -> None:
    """Decide whether a message was sent: look for its copy in the destination first.

    What was not sent is sent by another sender. A wrong decision doubles a message, or loses one.

    Example:  afx rule doubt decide main/pooled --message 12 --sent 345
    """
    from afx.operations import doubts

    if (sent is None) is not not_sent:
        raise UsageError("Give --sent with the id of the copy, or --not-sent.")
    what = f"as sent ({sent})" if sent else "as not sent, so that another sender sends them"
    invocation.confirm(f"Decide these doubts of rule '{rule}' {what}?")
    rows = doubts.decide(
        invocation.context,
        rule,
        sent=sent or 0,
        message=message,
        source=source,
        destination=destination,
    )
    if invocation.json:
        output.print_json(rows)
        return
    invocation.say(f"{len(rows)} doubts of rule {rows[0].rule} are decided")
