"""What waits for an approval, as the node reports it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from afx.cluster.reports import HeldEnded, MessageHeld
from afx.node.held_messages import HeldGone, HeldReport


def report_of(it: HeldReport, origin: Mapping[str, Any]) -> MessageHeld | HeldEnded:
    """Return the report; ``origin`` names the node, the session and its epoch."""
    route: dict[str, Any] = {
        **origin,
        "rule_id": it.rule,
        "source": it.source,
        "destination": it.destination,
    }
    if isinstance(it, HeldGone):
        return HeldEnded(**route, end=it.end, message_ids=it.messages)
    return MessageHeld(
        **route,
        event=it.event,
        message_id=it.message,
        album=it.album,
        version=it.version,
        content=it.content,
        expires_at=it.expires_at,
    )
