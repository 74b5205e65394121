"""Orders to a node, about its sessions."""

from __future__ import annotations

from typing import Any

from afx.node.executor import current


def order(envelope: dict[str, Any]) -> dict[str, Any]:
    """Start or stop sessions; returns which were accepted and which refused."""
    return current().order(envelope)
