"""What is reported in the call that moves a cursor past it: held messages, and alerts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from afx.cluster.reports import AlertRaised, HeldEnded, MessageHeld
from afx.node.alerts import AlertOf
from afx.node.held_reports import HeldGone, HeldReport


def report_of(
    it: HeldReport | AlertOf, origin: Mapping[str, Any]
) -> MessageHeld | HeldEnded | AlertRaised:
    """Return the report; ``origin`` names the node, the session and its epoch."""
    if isinstance(it, AlertOf):
        return AlertRaised(
            **origin,
            rule_id=it.rule,
            source=it.source,
            message_id=it.message,
            link=it.link,
            left_out=it.left_out,
        )
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
