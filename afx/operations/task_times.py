"""How long tasks wait and run: percentiles by kind, node or tier."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from afx.errors import UsageError
from afx.operations.context import Context, operation
from models.base import utc_now
from models.storage import task_times
from models.storage.task_times import TaskTime

GROUPS = ("kind", "node", "tier")
_MOST = 100_000


@dataclass(slots=True, frozen=True)
class Percentiles:
    """Of a number of seconds."""

    p50: float
    p95: float
    p99: float


@dataclass(slots=True, frozen=True)
class TimesRow:
    """The tasks of one kind, node or tier that have finished."""

    name: str
    count: int
    failed: int
    waited: Percentiles
    """Seconds from when a task might run to its start."""
    ran: Percentiles


@operation("task:read")
def times(context: Context, by: str = "kind", *, hours: float = 24.0) -> list[TimesRow]:
    """Return how long the tasks of the last hours waited and ran, by kind, node or tier."""
    del context
    if by not in GROUPS:
        raise UsageError(f"Tasks are grouped by one of {', '.join(GROUPS)}; choose one.")
    groups: dict[str, list[TaskTime]] = defaultdict(list)
    for it in task_times.finished_since(utc_now() - timedelta(hours=hours), _MOST):
        name = {"kind": it.kind, "node": it.worker, "tier": it.tier or "none"}[by]
        groups[name].append(it)
    return [
        TimesRow(
            name,
            len(rows),
            sum(it.state == "failed" for it in rows),
            _percentiles([it.waited for it in rows]),
            _percentiles([it.ran for it in rows]),
        )
        for name, rows in sorted(groups.items())
    ]


def _percentiles(values: Sequence[float]) -> Percentiles:
    ordered = sorted(values)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 4)

    return Percentiles(at(0.5), at(0.95), at(0.99))
