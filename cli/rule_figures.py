"""afx rule figures, and the figures of rules in other commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from cli import chart, complete, output
from cli.shared import Invocation, shared
from cli.since import Since, instant

if TYPE_CHECKING:
    from afx.operations.rule_figures import RuleFigures, RuleSpan, RuleTotal

COLUMNS = ("FORWARDED", "SKIPPED", "DEAD", "WAITS", "WAITED", "P50", "P99")


def add_to(app: typer.Typer) -> None:
    """Add the command to ``afx rule``."""
    app.command()(figures)


@shared("database_url", "json")
def figures(
    invocation: Invocation,
    rule: Annotated[
        str, typer.Argument(help="An id, or SESSION/NAME.", autocompletion=complete.rules)
    ],
    since: Since = "1d",
    drawn: Annotated[bool, typer.Option("--chart", help="Draw it in the terminal.")] = False,
) -> None:
    """Show what became of a rule's messages, by the hour; of more than three days, by the day.

    Skipped ones its filter did not take; dead ones were given up. Waits are Telegram's for
    its destinations. P50 and P99 are how long half, and 99 %, of its copies took.

    Example:  afx rule figures main/news --since 7d
    """
    from afx.operations import rule_figures

    found = rule_figures.history(invocation.context, rule, instant(since))
    if invocation.json:
        output.print_json(found)
    elif drawn and found.rows:
        _draw(found.rows)
    else:
        output.print_table(
            ("AT", *COLUMNS),
            (
                *((it.at, *cells(it.figures)) for it in found.rows),
                *([("all", *cells(found.figures))] if len(found.rows) > 1 else []),
            ),
            empty="It met no message in that time; nodes report twice a minute.",
        )


def list_(invocation: Invocation, session: str | None, enabled: bool | None, sort: str) -> None:
    """List rules with the figures of their last day."""
    from datetime import UTC, datetime, timedelta

    from afx.operations import rule_figures, rules
    from afx.operations.pages import Page

    since = datetime.now(UTC) - timedelta(days=1)

    def fetch(after: int | None, limit: int) -> Page[RuleTotal]:
        page = rules.listing(
            invocation.context,
            after=after,
            limit=limit,
            session=session,
            enabled=enabled,
            sort=sort,
        )
        found = rule_figures.of_rules(invocation.context, [it.id for it in page.rows], since)
        rows = [
            rule_figures.RuleTotal(it.id, it.session, it.name, found[it.id]) for it in page.rows
        ]
        return Page(tuple(rows), page.next)

    invocation.print_list(
        fetch,
        ("ID", "SESSION", "NAME", *COLUMNS),
        lambda it: (it.rule_id, it.session, it.name, *cells(it.figures)),
        empty=output.no("rules", filtered=session is not None or enabled is not None),
        by_id=True,
    )


def print_totals(found: Sequence[RuleTotal]) -> None:
    """Print the figures of some rules as a table."""
    output.print_table(
        ("ID", "RULE", *COLUMNS),
        ((it.rule_id, f"{it.session}/{it.name}", *cells(it.figures)) for it in found),
        empty="No rule met a message in that time.",
    )


def cells(it: RuleFigures) -> tuple[object, ...]:
    """Return figures as the cells of ``COLUMNS``."""
    return (
        it.forwarded,
        it.skipped,
        it.dead_letters,
        it.waits,
        seconds(it.waited) if it.waits else None,
        seconds(it.latency_p50),
        seconds(it.latency_p99),
    )


def seconds(value: float | None) -> str | None:
    """Return a time for people."""
    if value is None:
        return None
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:,.1f} s"


def _draw(rows: Sequence[RuleSpan]) -> None:
    print(f"{output.cell(rows[0].at)} to {output.cell(rows[-1].at)}")
    whole: Callable[[float], str] = lambda value: f"{value:,.0f}"  # noqa: E731
    for name, values, label in (
        ("forwarded", [float(it.figures.forwarded) for it in rows], whole),
        ("skipped", [float(it.figures.skipped) for it in rows], whole),
        (
            "latency, p99",
            [it.figures.latency_p99 or 0.0 for it in rows],
            lambda value: seconds(value) or "",
        ),
    ):
        print(f"\n{name}")
        chart.show(values, label)
