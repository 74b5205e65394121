"""afx analytics."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from afx.operations.csv_cells import csv_cell
from cli import analytics_cluster, complete, groups, output
from cli.shared import Invocation, shared
from cli.since import Since, instant

if TYPE_CHECKING:
    pass

app = groups.group("What was: nodes' metrics over time, sessions.")


@app.command()
@shared("database_url", "json")
def workers(
    invocation: Invocation,
    since: Since = "1h",
    drawn: analytics_cluster.Chart = False,
    as_csv: analytics_cluster.Csv = False,
) -> None:
    """Show each node's means and maxima over a time.

    Example:  afx analytics workers --since 7d
    """
    from afx.operations import analytics

    if drawn:
        analytics_cluster.draw_loads(analytics.export(invocation.context, instant(since)))
        return
    found = analytics.workers(invocation.context, instant(since))
    if invocation.json:
        output.print_json(found)
        return
    if as_csv:
        analytics_cluster.print_csv(found)
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
    for it in analytics.export(invocation.context, instant(since), worker=worker, span=span):
        row = asdict(it)
        if writer is None:
            print(output.json_line(row), end="")
            continue
        if header:
            writer.writerow(row)
            header = False
        writer.writerow([csv_cell(value) for value in row.values()])


analytics_cluster.add_to(app)
