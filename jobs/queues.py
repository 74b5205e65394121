"""The names of the RQ queues, and of the jobs in them."""

from __future__ import annotations

ORDER = "jobs.sessions.order"


def node(name: str, incarnation: str) -> str:
    """The queue of one incarnation of a node: no later one takes its orders."""
    return f"node-{name}-{incarnation}"
