"""Rules about hosts that are replaced in place, taken out on purpose: see ``broken.py``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from afx.coordinator.decisions import liveness
from afx.coordinator.failure_detector import FailureDetector
from afx.node import process_plan
from afx.node.process_plan import ProcessState


def replaced_is_dead(self: FailureDetector, nodes: Any, owners: Any, now: float) -> Any:
    dead = _find_dead(self, nodes, owners, now)
    replaced_ones = {it.replaces for it in nodes if it.replaces}
    old = [it.incarnation for it in nodes if it.incarnation in replaced_ones]
    return dead | dict.fromkeys(old, liveness.DeathReason.REPLACED)


_find_dead = FailureDetector.find_dead


def old_one_again(states: Sequence[ProcessState], now: float) -> list[int]:
    return _to_start([replace(it, replaced_by=0) for it in states], now)


_to_start = process_plan.to_start
