"""Writes what nodes report of messages that wait for an approval."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from afx.cluster.reports import HeldEnded, MessageHeld, Report
from models.storage import audit, held_messages
from models.storage.held_messages import Held, Settled


def lock(reports: Iterable[Report]) -> None:
    """Call it first in a transaction that writes reports: what decides about messages waits.

    It has the lock of the audit log before those of the rows, which it locks in their order;
    the reports come in another one.
    """
    if any(isinstance(it, MessageHeld | HeldEnded) for it in reports):
        audit.lock_head()


def write(reports: Iterable[Report]) -> None:
    """Write the reports that are about held messages, in their order; in a transaction.

    They count under whatever epoch the session is by then, as those about dead letters do.
    """
    found = [_row(it) for it in reports if isinstance(it, MessageHeld | HeldEnded)]
    if found:
        held_messages.note(found)


def _row(it: MessageHeld | HeldEnded) -> Held | Settled:
    route = (it.session_id, it.rule_id, it.source, it.destination)
    if isinstance(it, HeldEnded):
        return Settled(*route, it.message_ids, it.end.value)
    return Held(
        *route,
        it.message_id,
        it.album,
        it.version,
        it.content,
        datetime.fromtimestamp(it.expires_at, UTC),
        it.event.value,
    )
