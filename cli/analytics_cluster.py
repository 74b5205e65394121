"""afx analytics cluster, forecast, rules, tasks and scaling."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from afx.operations.csv_cells import csv_cell
from cli import chart, output, rule_figures
from cli.shared import Invocation, shared
from cli.since import Since, instant

if TYPE_CHECKING:
    from afx.operations.analytics import MetricsRow
    from afx.operations.cluster_analytics import ClusterRow

Chart = Annotated[bool, typer.Option("--chart", help="Draw it in the terminal.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
_FOR_PEOPLE = 60


def add_to(app: typer.Typer) -> None:
    """Add the commands."""

    @app.command()
    @shared("database_url", "json")
    def cluster(
        invocation: Invocation,
        since: Since = "1h",
        drawn: Chart = False,
        as_csv: Csv = False,
    ) -> None:
        """Show the cluster over time: nodes, sessions, RAM, waiting sessions, tasks.

        Example:  afx analytics cluster --since 7d --chart
        """
        from afx.operations import cluster_analytics

        found = cluster_analytics.series(invocation.context, instant(since))
        if invocation.json:
            output.print_json(found)
        elif as_csv:
            print_csv(found)
        elif drawn:
            _draw(found)
        else:
            _print_rows(found)

    @app.command()
    @shared("database_url", "json")
    def forecast(invocation: Invocation, since: Since = "14d") -> None:
        """Say when the nodes will be full, if it goes on as it did.

        Example:  afx analytics forecast --since 30d
        """
        from afx.operations import cluster_analytics

        found = cluster_analytics.forecasts(invocation.context, instant(since))
        if invocation.json:
            output.print_json(found)
            return
        for it in found:
            size = output.mib if it.resource == "ram" else lambda value: f"{value:,.0f}"
            used = f"{size(it.used)} of {size(it.limit)}"
            rate = "" if it.days is None else f" ({size(it.per_day)} a day)"
            print(f"{it.resource:<9} {used}; {it.in_words()}{rate}")

    @app.command()
    @shared("database_url", "json")
    def rules(invocation: Invocation, since: Since = "1d", as_csv: Csv = False) -> None:
        """Count rules, and show which forwarded most; 'afx rule figures' has one over time.

        As CSV, only the latter.

        Example:  afx analytics rules --since 7d
        """
        from afx.operations import cluster_analytics

        found = cluster_analytics.rule_summary(invocation.context, instant(since))
        counts = asdict(found)
        if invocation.json:
            output.print_json(counts)
            return
        if as_csv:
            print_csv(found.busiest)
            return
        del counts["busiest"]
        counts |= counts.pop("figures")
        output.print_fields(counts, as_json=False)
        print()
        rule_figures.print_totals(found.busiest)

    @app.command()
    @shared("database_url", "json")
    def tasks(invocation: Invocation, since: Since = "1d", as_csv: Csv = False) -> None:
        """Show how many tasks of each kind finished, and how long they waited and ran.

        Example:  afx analytics tasks --since 7d
        """
        from datetime import UTC, datetime

        from afx.operations import task_times

        hours = (datetime.now(UTC) - instant(since)).total_seconds() / 3600
        found = task_times.times(invocation.context, "kind", hours=max(0.0, hours))
        if invocation.json:
            output.print_json(found)
            return
        if as_csv:
            print_csv(found)
            return
        output.print_table(
            ("KIND", "TASKS", "FAILED", "WAITED P50", "P95", "RAN P50", "P95"),
            (
                (
                    it.name,
                    it.count,
                    it.failed,
                    *(f"{s:.2f} s" for s in (it.waited.p50, it.waited.p95)),
                    *(f"{s:.2f} s" for s in (it.ran.p50, it.ran.p95)),
                )
                for it in found
            ),
            empty="No task finished in that time.",
        )

    @app.command()
    @shared("database_url", "json")
    def scaling(invocation: Invocation, since: Since = "7d") -> None:
        """Show how the cluster was scaled: changes, node-hours, and what the peak would cost.

        Example:  afx analytics scaling --since 30d
        """
        from afx.operations import cluster_analytics

        found = cluster_analytics.scaling_summary(invocation.context, instant(since))
        output.print_fields(asdict(found), as_json=invocation.json)


def draw_loads(rows: Iterable[MetricsRow]) -> None:
    """Draw the load of each node over time."""
    loads: dict[str, list[float]] = {}
    for it in rows:
        loads.setdefault(it.worker, []).append(it.load_max)
    if not loads:
        print("No node was sampled in that time.")
    for name, values in sorted(loads.items()):
        print(f"\n{output.cell(name)}")
        chart.show(values, lambda value: f"{value:.2f}")


def _print_rows(found: Sequence[ClusterRow]) -> None:
    shown = found[-_FOR_PEOPLE:]
    output.print_table(
        (
            "AT",
            "NODES",
            "DESIRED",
            "SESSIONS",
            "HIBERNATED",
            "RAM",
            "CPU",
            "WAITING",
            "TASKS",
            "FORWARDED",
        ),
        (
            (
                it.at,
                round(it.nodes, 1),
                round(it.desired, 1),
                round(it.sessions, 1),
                round(it.hibernated, 1),
                output.mib(it.ram_used),
                f"{it.cpu:.0%}",
                round(it.waiting, 1),
                it.tasks_succeeded + it.tasks_failed,
                it.forwarded,
            )
            for it in shown
        ),
        empty="Nothing was stored in that time; the leader stores a row each minute.",
    )
    if len(shown) < len(found):
        print(f"the last {len(shown)} of {len(found)} rows; all with --csv", file=sys.stderr)


def print_csv(records: Sequence[Any]) -> None:
    """Print dataclasses as CSV; what is one level deeper gets columns of its own."""
    writer = csv.writer(sys.stdout)
    for number, record in enumerate(records):
        row: dict[str, Any] = {}
        for name, value in asdict(record).items():
            deeper = isinstance(value, dict)
            row |= {f"{name}_{it}": value[it] for it in value} if deeper else {name: value}
        if not number:
            writer.writerow(row)
        writer.writerow([csv_cell(it) for it in row.values()])


def _draw(found: Sequence[ClusterRow]) -> None:
    if not found:
        print("Nothing was stored in that time; the leader stores a row each minute.")
        return
    print(f"{output.cell(found[0].at)} to {output.cell(found[-1].at)}")
    charts: tuple[tuple[str, Callable[[ClusterRow], float], Callable[[float], str]], ...] = (
        ("sessions", lambda it: it.sessions, lambda value: f"{value:,.0f}"),
        ("sessions that hibernate", lambda it: it.hibernated, lambda value: f"{value:,.0f}"),
        ("nodes", lambda it: it.nodes, lambda value: f"{value:,.1f}"),
        ("nodes desired", lambda it: it.desired, lambda value: f"{value:,.1f}"),
        ("RAM", lambda it: it.ram_used, output.mib),
        ("CPU", lambda it: it.cpu, lambda value: f"{value:.0%}"),
        ("sessions that wait", lambda it: it.waiting_max, lambda value: f"{value:,.0f}"),
        ("tasks that have not finished", lambda it: it.tasks_open, lambda value: f"{value:,.0f}"),
        (
            "messages a minute",
            lambda it: it.forwarded * 60 / it.span,
            lambda value: f"{value:,.0f}",
        ),
    )
    for name, value, label in charts:
        print(f"\n{name}")
        chart.show([value(it) for it in found], label)
