"""The names of the RQ queues, and of the jobs in them."""

from __future__ import annotations

ORDER = "jobs.sessions.order"
WAIT = "jobs.sessions.wait"
OVERFLOW = "overflow"
"""Unschedulable sessions; the coordinator removes them again."""


def node(name: str, incarnation: str) -> str:
    """Return the queue of one incarnation of a node; no other incarnation reads it."""
    return f"node-{name}-{incarnation}"
