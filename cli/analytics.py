"""afx analytics."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from afx.operations.csv_cells import csv_cell
from cli import analytics_cluster, complete, groups, output
from cli.shared import Invocation, shared

if TYPE_CHECKING:
    from datetime import datetime

app = groups.group("What was: nodes' metrics over time, sessions.")
Since = Annotated[
    str, typer.Option("--since", help="How far back (90s, 15m, 6h, 7d), or an ISO instant.")
]
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@app.command()
@shared("database_url", "json")
def workers(
    invocation: Invocation, since: Since = "1h", drawn: analytics_cluster.Chart = False
) -> None:
    """Show each node's means and maxima over a time.

    Example:  afx analytics workers --since 7d
    """
    from afx.operations import analytics

    if drawn:
        analytics_cluster.draw_loads(analytics.export(invocation.context, _instant(since)))
        return
    found = analytics.workers(invocation.context, _instant(since))
    if invocation.json:
        output.print_json(found)
        return
    output.print_table(
        (
            "NODE",
            "RSS",
            "RSS MAX",
            "CPU",
            "CPU MAX",
            "LOAD",
            "LOAD MAX",
            "SESSIONS",
            "FORWARDED",
            "LAST",
        ),
        (
            (
                it.worker,
                output.mib(it.rss),
                output.mib(it.rss_max),
                f"{it.cpu:.1%}",
                f"{it.cpu_max:.1%}",
                f"{it.load:.2f}",
                f"{it.load_max:.2f}",
                round(it.sessions, 1),
                it.forwarded,
                it.last,
            )
            for it in found
        ),
        empty="No node was sampled in that time.",
    )


@app.command()
@shared("database_url", "json")
def sessions(invocation: Invocation) -> None:
    """Count sessions by state, and users by tier.

    Example:  afx analytics sessions
    """
    from afx.operations import analytics

    found = analytics.counts(invocation.context)
    fields = {
        **found.by_state,
        "sessions": found.sessions,
        "rules": found.rules,
        **{f"users {tier}": count for tier, count in found.users_by_tier.items()},
    }
    output.print_fields(fields, as_json=invocation.json)


@app.command()
@shared("database_url")
def export(
    invocation: Invocation,
    since: Since = "1h",
    worker: Annotated[
        str | None,
        typer.Option("--worker", help="Only of this node.", autocompletion=complete.workers),
    ] = None,
    span: Annotated[
        int | None,
        typer.Option("--span", help="0, 60 or 3600 seconds a row [default: what serves]."),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV instead of JSON lines.")] = False,
) -> None:
    """Print the rows of a time, for other programs: JSON lines or CSV.

    Example:  afx analytics export --since 1d --csv > metrics.csv
    """
    import csv

    from afx.operations import analytics

    writer = csv.writer(sys.stdout) if as_csv else None
    header = True
    for it in analytics.export(invocation.context, _instant(since), worker=worker, span=span):
        row = asdict(it)
        if writer is None:
            print(output.json_line(row), end="")
            continue
        if header:
            writer.writerow(row)
            header = False
        writer.writerow([csv_cell(value) for value in row.values()])


def _instant(text: str) -> datetime:
    """Return the instant that a text names, as aware UTC."""
    from datetime import UTC, datetime, timedelta

    from afx.errors import UsageError

    found = re.fullmatch(r"(\d{1,6})([smhd])", text, re.ASCII)
    try:
        if found:
            return datetime.now(UTC) - timedelta(seconds=int(found[1]) * _UNITS[found[2]])
        instant = datetime.fromisoformat(text)
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            "--since is a time such as 90s, 15m, 6h or 7d, or an instant such as "
            "2026-11-23T10:00:00; correct it."
        ) from error


analytics_cluster.add_to(app, _instant)
