"""afx rule dead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli import complete, groups, output, sort_options
from cli.shared import Invocation, shared

if TYPE_CHECKING:
    from afx.operations.dead_letters import Chosen

app = groups.group("Dead letters: messages of rules that could not be delivered.")
Which = Annotated[
    str,
    typer.Argument(metavar="RULE", help="An id, or SESSION/NAME.", autocompletion=complete.rules),
]
Ids = Annotated[list[int] | None, typer.Option("--id", help="Only this row; may be repeated.")]
OfReason = Annotated[
    str | None, typer.Option("--kind", metavar="REASON", help="Only those of this reason.")
]


@app.command("list")
@shared("database_url", "json", pages=True)
def list_(
    invocation: Invocation,
    rule: Annotated[
        str | None, typer.Option("--rule", help="Only of this one.", autocompletion=complete.rules)
    ] = None,
    kind: OfReason = None,
    sort: sort_options.ByIdOrLast = "id",
) -> None:
    """List what could not be delivered: up to 256 neighbouring messages of a route in each row.

    Example:  afx rule dead list --rule main/news
    """
    from afx.operations import dead_letters

    invocation.print_list(
        lambda after, limit: dead_letters.listing(
            invocation.context, after=after, limit=limit, rule=rule, reason=kind, sort=sort
        ),
        ("ID", "RULE", "FROM", "TO", "REASON", "ERROR", "COUNT", "MESSAGES", "TRIES", "LAST"),
        lambda it: (
            it.id,
            it.rule,
            it.source,
            it.destination,
            it.reason,
            it.error,
            it.count,
            it.messages,
            it.attempts,
            it.last_at,
        ),
        empty=output.no("dead letters", filtered=rule is not None or kind is not None),
        by_id=sort.endswith("id"),
    )


@app.command()
@shared("database_url", "json")
def count(invocation: Invocation) -> None:
    """Count what could not be delivered, by rule and reason.

    Example:  afx rule dead count
    """
    from afx.operations import dead_letters

    rows = dead_letters.counts(invocation.context)
    if invocation.json:
        output.print_json(rows)
        return
    output.print_table(
        ("RULE", "REASON", "COUNT"),
        [(it.rule, it.reason, it.count) for it in rows],
        empty=output.no("dead letters", filtered=False),
    )


@app.command()
@shared("yes", "database_url", "json", change=True)
def retry(invocation: Invocation, rule: Which, row: Ids = None, kind: OfReason = None) -> None:
    """Send a rule's dead letters once more, behind what waits for their destinations.

    What was delivered all the same is known, and not sent again.

    Example:  afx rule dead retry main/news --kind destination_closed
    """
    from afx.operations import dead_letters

    chosen = _choose(invocation, rule, row, kind)
    invocation.confirm(f"Send {chosen.messages} messages of rule '{chosen.rule}' once more?")
    tasks = dead_letters.retry(invocation.context, chosen)
    if invocation.json:
        output.print_json({"messages": chosen.messages, "tasks": tasks})
        return
    numbers = ", ".join(map(str, tasks))
    invocation.say(
        f"{chosen.messages} messages of rule {chosen.rule} are tried again (task {numbers})"
    )


@app.command()
@shared("yes", "database_url", "json", change=True)
def drop(invocation: Invocation, rule: Which, row: Ids = None, kind: OfReason = None) -> None:
    """Delete a rule's dead letters: they are never delivered.

    Example:  afx rule dead drop main/news --kind message_gone --yes
    """
    from afx.operations import dead_letters

    chosen = _choose(invocation, rule, row, kind)
    invocation.confirm(f"Drop {chosen.messages} messages of rule '{chosen.rule}' for good?")
    count = dead_letters.drop(invocation.context, chosen)
    if invocation.json:
        output.print_json({"messages": count})
        return
    invocation.say(f"{count} messages of rule {chosen.rule} dropped")


def _choose(invocation: Invocation, rule: str, row: list[int] | None, kind: str | None) -> Chosen:
    from afx.operations import dead_letters

    return dead_letters.choose(invocation.context, rule, ids=tuple(row or ()), reason=kind)
