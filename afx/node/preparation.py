"""What a session needs before it starts: its positions, or why it cannot start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain

from afx.forwarding.rules import Route
from afx.node.forwarder import Forwarder
from afx.reasons import FailureReason
from afx.telegram.client import AccountClient
from afx.telegram.peers import Peers
from afx.telegram.positions import set_positions
from afx.telegram.session import MalformedPositionError, StoredSession
from afx.telegram.updates import UpdateReader

Routes = Mapping[int, tuple[Route, ...]]


class StartError(Exception):
    """A session cannot start; the text is for the customer."""

    def __init__(self, reason: FailureReason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def load_outboxes(forwarder: Forwarder, stored: StoredSession) -> None:
    """Give a forwarder the outboxes, and the contents, of earlier runs.

    Raises StartError when what is stored is malformed.
    """
    try:
        forwarder.outboxes.load(stored.cursors)
        forwarder.later.load(stored.cursors)
        forwarder.seen.load(stored.cursors)
        forwarder.digests.digested.load(stored.cursors)
        forwarder.pools.own.load(stored.cursors)
        waiting = chain(forwarder.outboxes.waiting(), forwarder.later.waiting())
        forwarder.snapshots.load(stored.cursors, waiting)
    except MalformedPositionError as error:
        raise StartError(FailureReason.STATE_MALFORMED, str(error)) from error


async def position(
    client: AccountClient,
    reader: UpdateReader,
    stored: StoredSession,
    peers: Peers,
    sources: Iterable[int],
) -> dict[int, str]:
    """Set where each source begins; returns those that cannot be read, and why.

    Raises StartError when what is stored is malformed.
    """
    try:
        return await set_positions(client, reader, stored, peers, sources)
    except MalformedPositionError as error:
        raise StartError(FailureReason.STATE_MALFORMED, str(error)) from error
