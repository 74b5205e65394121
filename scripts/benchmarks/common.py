"""What the benchmarks share: the machine, targets, tables, JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from afx.lab.report import figures
from afx.sandbox.judge.verdict import Verdict


@dataclass(slots=True, frozen=True)
class Target:
    """A figure that must be reached; ``bound`` says on which side it is good."""

    name: str
    value: float | None
    target: float
    bound: Literal["at least", "at most"]

    @property
    def ok(self) -> bool:
        if self.value is None:
            return False
        return self.value >= self.target if self.bound == "at least" else self.value <= self.target


def broken_target(name: str, *verdicts: Verdict) -> Target:
    """Return the target that nothing was lost, doubled, out of order, altered or revoked."""
    broken = sum(it.damage for it in verdicts)
    return Target(name, broken, 0, "at most")


def verdict_row(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict's counts as a row of a table."""
    counts = figures(verdict)
    del counts["latency_ms"]
    return counts


def machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "ram_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def peak_mib(process: psutil.Process) -> float:
    """Return the largest RSS that a process has had, since it began or was told to count anew."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


def report(
    name: str, rows: Sequence[dict[str, Any]], targets: Sequence[Target], *, as_json: bool
) -> None:
    """Print a benchmark's outcome: a table for people, or one JSON object."""
    if as_json:
        checked = [{**asdict(it), "ok": it.ok} for it in targets]
        for it in checked:
            del it["bound"]
        print(json.dumps({"name": name, "machine": machine(), "rows": rows, "targets": checked}))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(width=max(100, Console().width))
    console.print(f"[bold]{name}[/bold]  {machine()}")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column == columns[0] else "right")
    for row in rows:
        table.add_row(*("-" if row.get(it) is None else str(row.get(it)) for it in columns))
    console.print(table)
    for target in targets:
        mark = "reached" if target.ok else "MISSED"
        value = "nothing" if target.value is None else f"{target.value:g}"
        bound = f"{target.bound} {target.target:g}"
        console.print(f"{mark:<8} {target.name}: {value} ({bound})", highlight=False)


def percentile(values: Sequence[float], share: float) -> float | None:
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
