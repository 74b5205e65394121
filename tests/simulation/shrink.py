"""Leaves out of a schedule what does not matter for its violation."""

from __future__ import annotations

from simulation import schedule
from simulation.broken import Broken
from simulation.faults import Fault


def shrunk(seed: int, plan: list[Fault], broken: Broken | None = None) -> list[Fault]:
    """Return faults that still lead to a violation, each of which is needed."""
    for fault in list(plan):
        fewer = [it for it in plan if it is not fault]
        if _is_violated(seed, fewer, broken):
            plan = fewer
    return plan


def _is_violated(seed: int, plan: list[Fault], broken: Broken | None) -> bool:
    if broken is None:
        return bool(schedule.run(seed, plan).violations)
    result = schedule.run(seed, plan, prepare=broken.prepare, recover=broken.recover)
    return bool(result.violations)
