"""The names of the RQ queues, and of the kinds of jobs in them.

A kind's name is also the function name that RQ's tools show; it is never imported.
"""

from __future__ import annotations

START = "jobs.sessions.start"
STOP = "jobs.sessions.stop"
RENEW = "jobs.sessions.renew"
INVENTORY = "jobs.sessions.inventory"
WAIT = "jobs.sessions.wait"
CANCEL = "jobs.tasks.cancel"
OVERFLOW = "overflow"
"""Sessions for which no node has room; no worker takes jobs from it."""


NODE_PREFIX = "node-"
WAKE = b"!wake"
"""An entry of a node's queue that is no job: there are tasks in other queues."""


def node(name: str, incarnation: str) -> str:
    """The queue of one incarnation of a node: no later one takes its orders."""
    return f"{NODE_PREFIX}{name}-{incarnation}"
