"""Sends what an operator has approved, and reports that once it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from afx.node.held_reports import Approved

if TYPE_CHECKING:
    from afx.node.session import HostedSession


async def approve(
    session: HostedSession, rule: int, source: int, destination: int, versions: Mapping[int, int]
) -> Approved | None:
    """Send approved messages of a route (see ``HeldMessages.approve``).

    They are reported as released once their outbox is stored, so none is lost between.
    None when another node has the session by then.
    """
    found = await session.forwarder.approve(rule, source, destination, versions)
    if not await session.store():
        return None
    session.forwarder.held.report_released()
    session.progressed()
    return found if await session.store() else None
