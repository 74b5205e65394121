"""afx analytics."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cli import common, complete, groups, output

if TYPE_CHECKING:
    from datetime import datetime

app = groups.group("What was: nodes' metrics over time, sessions.")
Since = Annotated[
    str, typer.Option("--since", help="How far back (90s, 15m, 6h, 7d), or an ISO instant.")
]
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@app.command()
def workers(
    since: Since = "1h",
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """Show each node's means and maxima over a time.

    Example:  afx analytics workers --since 7d
    """
    with common.reading(database_url):
        from models.storage import analytics

        found = analytics.summary(_instant(since))
    if json:
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
                it["worker"],
                output.mib(it["rss"]),
                output.mib(it["rss_max"]),
                f"{it['cpu']:.1%}",
                f"{it['cpu_max']:.1%}",
                f"{it['load']:.2f}",
                f"{it['load_max']:.2f}",
                round(it["sessions"], 1),
                it["forwarded"],
                it["last"],
            )
            for it in found
        ),
        empty="No node was sampled in that time.",
    )


@app.command()
def sessions(database_url: common.DatabaseUrl = None, json: common.Json = False) -> None:
    """Count sessions by state, and users by tier.

    Example:  afx analytics sessions
    """
    with common.reading(database_url):
        from models.storage import rules, sessions, users

        fields = {
            **sessions.count_by_state(),
            "sessions": sessions.count(),
            "rules": rules.count(),
            **{f"users {tier}": count for tier, count in users.count_by_tier().items()},
        }
    output.print_fields(fields, as_json=json)


@app.command()
def export(
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
    database_url: common.DatabaseUrl = None,
) -> None:
    """Print the rows of a time, for other programs: JSON lines or CSV.

    Example:  afx analytics export --since 1d --csv > metrics.csv
    """
    import csv

    from afx.errors import UsageError

    if span not in (None, 0, 60, 3600):
        raise UsageError("A row covers 0, 60 or 3600 seconds; give one of these.")
    with common.reading(database_url):
        from models import paging
        from models.storage import analytics

        begin = _instant(since)
        writer = csv.writer(sys.stdout) if as_csv else None
        header = True
        for it in paging.every(
            lambda after, most: analytics.series(
                begin, worker=worker, span=span, after=after, limit=most
            )
        ):
            if writer is None:
                print(output.json_line(it), end="")
                continue
            if header:
                writer.writerow(it)
                header = False
            writer.writerow([output.plain(value) for value in it.values()])


def _instant(text: str) -> datetime:
    """Return the instant that a text names, as aware UTC."""
    from datetime import UTC, datetime, timedelta

    from afx.errors import UsageError

    found = re.fullmatch(r"(\d{1,6})([smhd])", text, re.ASCII)
    if found:
        return datetime.now(UTC) - timedelta(seconds=int(found[1]) * _UNITS[found[2]])
    try:
        held = datetime.fromisoformat(text)
        return held.replace(tzinfo=UTC) if held.tzinfo is None else held.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            "--since is a time such as 90s, 15m, 6h or 7d, or an instant such as "
            "2026-11-23T10:00:00; correct it."
        ) from error
