"""The cluster over time: its metrics, when it will be full, how it was scaled, its rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from afx.coordinator.decisions import forecast
from afx.operations import rule_figures
from afx.operations.context import Context, operation
from afx.operations.rule_figures import MOST_BUSIEST, RuleFigures, RuleTotal
from models.storage import cluster_analytics, rules, scaling

_MOST_EVENTS = 10_000
_WITHOUT_END = {
    "not rising": "it does not rise",
    "unclear": "no clear trend: it goes up and down more than it rises",
    "no limit": "there are no nodes that could be full",
    "too short": "there is too little history; look again in an hour",
}


@dataclass(slots=True, frozen=True)
class ClusterRow:
    """The cluster in one minute or hour; sizes in bytes."""

    id: int
    span: int
    """Seconds."""
    at: datetime
    samples: int
    nodes: float
    desired: float
    sessions: float
    sessions_max: int
    sessions_limit: float
    ram_used: int
    ram_limit: int
    cpu: float
    waiting: float
    waiting_max: int
    tasks_open: float
    tasks_succeeded: int
    tasks_failed: int
    forwarded: int
    hibernated: float


@dataclass(slots=True, frozen=True)
class ForecastRow:
    """When one resource will be full at its trend."""

    resource: str
    trend: str
    """rising, not rising, unclear, too short, or no limit."""
    used: float
    limit: float
    per_day: float
    days: float | None
    """Until it is full; None when that is not to be seen."""
    fit: float
    """How well a straight line fits, 0 to 1."""

    def in_words(self) -> str:
        """Return when it is full, or why that is not to be seen."""
        if self.days is not None:
            return f"full in {self.days:,.1f} days at this trend"
        return _WITHOUT_END.get(self.trend, self.trend)


@dataclass(slots=True, frozen=True)
class ScalingSummary:
    """How the cluster was scaled over a time."""

    changes: int
    by_decision: Mapping[str, int]
    node_hours: float
    desired_hours: float
    """Node-hours, had each recommendation been followed at once."""
    peak_nodes: float
    peak_desired: float
    peak_hours: float
    """Node-hours of as many nodes as the peak had, all the time."""


@dataclass(slots=True, frozen=True)
class RuleSummary:
    """How many rules there are, what became of messages, and which forwarded most."""

    rules: int
    enabled: int
    troubled: int
    copy: int
    """Rules that copy."""
    forward: int
    figures: RuleFigures
    """Of all rules together."""
    busiest: Sequence[RuleTotal]


@operation("analytics:read")
def series(context: Context, since: datetime) -> list[ClusterRow]:
    """Return the cluster's rows since an instant, in order: minutes, or hours of a long time."""
    del context
    return [ClusterRow(**row) for row in cluster_analytics.series(since)]


@operation("analytics:read")
def forecasts(context: Context, since: datetime) -> list[ForecastRow]:
    """Return when sessions and RAM will fill the nodes, by their trend since an instant."""
    del context
    rows = [ClusterRow(**row) for row in cluster_analytics.series(since)]
    found = []
    for resource, used, limit in (
        ("sessions", "sessions", "sessions_limit"),
        ("ram", "ram_used", "ram_limit"),
    ):
        points = [(it.at.timestamp(), float(getattr(it, used))) for it in rows]
        most = float(getattr(rows[-1], limit)) if rows else 0.0
        it = forecast.forecast(points, most)
        days = None if it.days is None else round(it.days, 2)
        found.append(
            ForecastRow(
                resource,
                str(it.trend),
                round(it.used, 2),
                most,
                round(it.per_day, 3),
                days,
                round(it.fit, 3),
            )
        )
    return found


@operation("analytics:read")
def scaling_summary(context: Context, since: datetime) -> ScalingSummary:
    """Return how often the recommendation changed, and the node-hours that it led to."""
    del context
    events = [it for it in scaling.listing(limit=_MOST_EVENTS).rows if it["at"] >= since]
    rows = cluster_analytics.series(since)
    peak = max((float(it["nodes"]) for it in rows), default=0.0)
    hours = sum(it["span"] for it in rows) / 3600
    return ScalingSummary(
        changes=len(events),
        by_decision={it: sum(row["decision"] == it for row in events) for it in _DECISIONS},
        node_hours=round(sum(it["nodes"] * it["span"] for it in rows) / 3600, 2),
        desired_hours=round(sum(it["desired"] * it["span"] for it in rows) / 3600, 2),
        peak_nodes=peak,
        peak_desired=max((float(it["desired"]) for it in rows), default=0.0),
        peak_hours=round(peak * hours, 2),
    )


@operation("analytics:read")
def messages(context: Context, since: datetime) -> RuleFigures:
    """Return what became of messages of all rules since an instant, three hours ago at most."""
    del context
    return rule_figures.of_minutes(since)


@operation("analytics:read")
def rule_summary(context: Context, since: datetime) -> RuleSummary:
    """Count rules; return what became of messages since an instant, and which forwarded most."""
    del context
    return RuleSummary(
        **rules.counts(),
        figures=rule_figures.total(since),
        busiest=rule_figures.totals(since, most=MOST_BUSIEST),
    )


_DECISIONS = ("hold", "out", "in")
