"""afx rule review."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli import complete, groups, output
from cli.shared import Invocation, shared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from afx.operations.context import Context
    from afx.operations.reviews import Decision

app = groups.group("Messages of rules with reviews: they wait until they are approved.")
_LONGEST = 60
"""Characters of a text in a list."""
Which = Annotated[
    str,
    typer.Argument(
        metavar="[RULE]",
        help="An id, or SESSION/NAME; none with --all: each rule, with --id: that of the message.",
        autocompletion=complete.rules,
    ),
]
Ids = Annotated[list[int] | None, typer.Option("--id", help="Only this message; may be repeated.")]
All = Annotated[bool, typer.Option("--all", help="All that waits.")]
Until = Annotated[
    str,
    typer.Option(
        metavar="INSTANT",
        help="Not what has changed after this; give the newest changed_at of list --json.",
    ),
]
OfRule = Annotated[
    str | None, typer.Option("--rule", help="Only of this one.", autocompletion=complete.rules)
]


@app.command("list")
@shared("database_url", "json", pages=True)
def list_(
    invocation: Invocation,
    rule: OfRule = None,
    state: Annotated[
        str,
        typer.Option(
            "--state",
            help="held, approved, released, rejected, expired, deleted, or all.",
        ),
    ] = "held",
) -> None:
    """List what waits for an approval, with the text that would be sent.

    Example:  afx rule review list --rule main/news
    """
    from afx.operations import reviews

    wanted = None if state == "all" else state
    invocation.print_list(
        lambda after, limit: reviews.listing(
            invocation.context, after=after, limit=limit, rule=rule, state=wanted
        ),
        ("ID", "RULE", "FROM", "TO", "MESSAGE", "STATE", "MEDIA", "TEXT", "HELD", "EXPIRES"),
        lambda it: (
            it.id,
            it.rule,
            it.source,
            it.destination,
            it.message,
            it.state,
            it.media,
            _shortened(it.problem or it.text),
            it.held_at,
            it.expires_at,
        ),
        empty=output.no("held messages", filtered=rule is not None or state != "held"),
        by_id=True,
    )


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


@app.command()
@shared("database_url", "json")
def show(
    invocation: Invocation, number: Annotated[int, typer.Argument(metavar="ID", min=1)]
) -> None:
    """Show one held message as it would be sent.

    Example:  afx rule review show 12
    """
    from dataclasses import asdict

    from afx.operations import reviews

    found = reviews.show(invocation.context, number)
    fields = {"rule": found.rule, **asdict(found)}
    output.print_fields(fields, as_json=invocation.json)


@app.command()
@shared("database_url", "json")
def count(invocation: Invocation, rule: OfRule = None) -> None:
    """Count what waits for an approval, and what was decided lately, by rule and state.

    Example:  afx rule review count
    """
    from afx.operations import reviews

    rows = reviews.counts(invocation.context, rule=rule)
    if invocation.json:
        output.print_json(rows)
        return
    output.print_table(
        ("RULE", "STATE", "COUNT"),
        [(it.rule, it.state, it.count) for it in rows],
        empty=output.no("held messages", filtered=rule is not None),
    )


@app.command()
@shared("yes", "database_url", "json", change=True)
def approve(
    invocation: Invocation,
    rule: Which = "",
    number: Ids = None,
    everything: All = False,
    until: Until = "",
) -> None:
    """Let held messages be sent, in the order in which they came.

    They go behind what waits for their destinations. What is edited after that
    and before they are sent waits again; what was edited before it was decided,
    and since you saw it, is left out with --until.

    Example:  afx rule review approve --id 12
    """
    from afx.operations import reviews

    found = _decide(invocation, "Send", rule, number, everything, until, reviews.approve)
    if not invocation.json:
        for it in found:
            numbers = ", ".join(map(str, it.tasks))
            invocation.say(f"{it.messages} messages of rule {it.rule} approved (task {numbers})")


@app.command()
@shared("yes", "database_url", "json", change=True)
def reject(
    invocation: Invocation,
    rule: Which = "",
    number: Ids = None,
    everything: All = False,
    until: Until = "",
) -> None:
    """Let held messages never be sent.

    Example:  afx rule review reject main/news --all --yes
    """
    from afx.operations import reviews

    found = _decide(invocation, "Reject", rule, number, everything, until, reviews.reject)
    if not invocation.json:
        for it in found:
            invocation.say(f"{it.messages} messages of rule {it.rule} rejected")


def _decide(
    invocation: Invocation,
    verb: str,
    rule: str,
    ids: list[int] | None,
    everything: bool,
    until: str,
    decide: Callable[..., Decision],
) -> list[Decision]:
    from afx.errors import NotFoundError, UsageError
    from afx.operations import reviews

    if bool(ids) == everything:
        raise UsageError("Name messages by --id, or give --all: one of them.")
    latest = _micros(until) if until else None
    context = invocation.context
    found: list[Decision] = []
    if ids:
        of_rules = {rule: ids} if rule else reviews.by_rule(context, ids)
        found += [decide(context, it, ids=them, until=latest) for it, them in of_rules.items()]
    else:
        waiting = reviews.waiting_for_change(context, rule or None)
        total = sum(it.count for it in waiting)
        if not total:
            raise NotFoundError("No message waits for an approval.")
        invocation.confirm(f"{verb} {total} messages of {len(waiting)} rules?")
        for it in waiting:
            seen = it.until if latest is None else min(it.until, latest)
            found += _of_rule(context, it.rule_id, seen, decide)
    if invocation.json:
        output.print_json(found)
    return found


def _micros(text: str) -> int:
    """Return an instant in microseconds since 1970."""
    from datetime import UTC, datetime, timedelta

    from afx.errors import UsageError

    try:
        found = datetime.fromisoformat(text)
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        return (found - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            "--until is an instant such as 2026-11-23T10:00:00.123456; correct it."
        ) from error


def _of_rule(
    context: Context, rule: int, until: int, decide: Callable[..., Decision]
) -> Iterator[Decision]:
    """Decide about all that was counted: what has come since then is not meant."""
    left = True
    while left:
        made = decide(context, str(rule), until=until)
        yield made
        left = made.left and not context.dry_run
