"""The names of the RQ queues, and of the jobs in them."""

from __future__ import annotations

ORDER = "jobs.sessions.order"
WAIT = "jobs.sessions.wait"
OVERFLOW = "overflow"
"""Sessions that fit nowhere; the coordinator takes them out again."""


def node(name: str, incarnation: str) -> str:
    """The queue of one incarnation of a node: no later one takes its orders."""
    return f"node-{name}-{incarnation}"
