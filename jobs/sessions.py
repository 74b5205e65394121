"""Orders to a node, about its sessions."""

from __future__ import annotations

from typing import Any

from afx.node.executor import current


def wait(session: int, tier: str, reason: str) -> None:
    """Stand for a session in the overflow; nobody runs it.

    A worker that is pointed at the overflow by mistake does no harm: the session
    waits in SQL, and its job comes back.
    """


def order(envelope: dict[str, Any]) -> dict[str, Any]:
    """Start or stop sessions; returns which were accepted and which refused."""
    return current().order(envelope)
