"""For tests of whole clusters: labs, and what they all look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psutil

from afx.lab.cluster import Lab
from afx.lab.links import BadLink

NewLab = Callable[..., Lab]


def start(lab: Lab, nodes: int, count: int, *flags: str) -> None:
    lab.add_sessions(count, mode=lambda it: "forward" if it % 2 else "copy")
    lab.fleet.start_coordinator()
    for number in range(1, nodes + 1):
        lab.fleet.start_worker(f"w{number}", *flags)
    lab.wait_nodes(nodes)


def start_linked(lab: Lab, nodes: int, count: int) -> dict[str, BadLink]:
    """Start as ``start`` does, each node with a link of its own to Redis."""
    lab.add_sessions(count, mode=lambda it: "forward" if it % 2 else "copy")
    lab.fleet.start_coordinator()
    links = {}
    for name in (f"w{number}" for number in range(1, nodes + 1)):
        links[name], url = lab.redis_link(seed=len(links))
        lab.fleet.start_worker(name, redis_url=url)
    lab.wait_nodes(nodes)
    lab.wait_running()
    lab.expect_copies()
    return links


def tree_of(lab: Lab, name: str) -> list[psutil.Process]:
    """Return a child's process and all below it."""
    top = psutil.Process(lab.fleet.children[name].pid)
    return [top, *top.children(recursive=True)]


def clean(verdict: dict[str, Any]) -> bool:
    return not any(verdict[it] for it in ("lost", "duplicated", "out_of_order", "revoked"))


def host_of(lab: Lab, node: str) -> psutil.Process:
    supervisor = psutil.Process(lab.fleet.children[node].pid)
    return next(it for it in supervisor.children(recursive=True))
