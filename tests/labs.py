"""For tests of whole clusters: labs, and what they all look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psutil

from afx.lab import Lab

NewLab = Callable[..., Lab]


def start(lab: Lab, nodes: int, count: int, *flags: str) -> None:
    lab.add_sessions(count, mode=lambda it: "forward" if it % 2 else "copy")
    lab.fleet.start_coordinator()
    for number in range(1, nodes + 1):
        lab.fleet.start_worker(f"w{number}", *flags)
    lab.wait_nodes(nodes)


def clean(verdict: dict[str, Any]) -> bool:
    return not any(verdict[it] for it in ("lost", "duplicated", "out_of_order", "revoked"))


def host_of(lab: Lab, node: str) -> psutil.Process:
    supervisor = psutil.Process(lab.fleet.children[node].pid)
    return next(it for it in supervisor.children(recursive=True))
