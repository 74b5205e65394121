"""What a session's parts have for the next commit."""

from __future__ import annotations

from collections.abc import Iterable

from afx.node.forwarder import Forwarder
from afx.node.progress import Progress
from afx.telegram.positions import cursor_fields
from afx.telegram.session import StoredSession
from afx.telegram.updates import UpdateReader


def collect(
    forwarder: Forwarder, reader: UpdateReader, stored: StoredSession, stale: Iterable[str]
) -> Progress:
    """Return what is to be committed since the last call.

    ``stale`` are fields of the stored cursor that are to be removed.
    """
    entities, stored.fresh = stored.fresh, {}
    links, intents = forwarder.links.take(), forwarder.intents.take()
    # Outboxes go before cursors: one that is stored without them would lose messages. Counts
    # and contents go before outboxes: what is in one counts, and has its content.
    cursor = [
        *forwarder.snapshots.take_fields(),
        *forwarder.later.gate.counts.take_fields(),
        *forwarder.outboxes.take_fields(),
        *forwarder.later.take_fields(),
        *forwarder.seen.take_fields(),
        *forwarder.digests.digested.take_fields(),
        *forwarder.pools.own.take_fields(),
        *cursor_fields(reader),
        *forwarder.waits.fields(),
    ]
    cursor += [text for field in stale for text in (field, "")]
    dead, held = forwarder.dead.take(), forwarder.held.take()
    alerts = forwarder.alerts.take()
    return Progress(cursor, links, entities, intents, dead, held, alerts)


def mark_all(forwarder: Forwarder, stored: StoredSession) -> None:
    """Let the next commit write all that is known, not only what is new."""
    stored.fresh = dict(stored.hashes)
    forwarder.waits.budgets.mark_all()
    forwarder.intents.mark_all()
    forwarder.outboxes.mark_all()
    forwarder.later.mark_all()
    forwarder.seen.mark_all()
    forwarder.digests.digested.mark_all()
    forwarder.pools.own.mark_all()
    forwarder.snapshots.mark_all()
    forwarder.links.mark_all()
    forwarder.dead.mark_all()
    forwarder.held.mark_all()
    forwarder.alerts.mark_all()
