"""Whether reports of epochs above the term's wait for the proof of a node.

SQL and Redis may both have lost a generation. Its node proves it with its inventory, for
which it is asked when a term begins; what it has reported before that comes first in the
stream. Those reports are of no use to this term, and the next one takes them: so they stay
unread for a moment, and are not refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import redis

from afx.cluster import report_stream
from afx.cluster.report_stream import Batch
from afx.cluster.reports import Inventory, Report

_SECONDS = 3.0
"""For how long reports wait in a term at most: anyone who writes to Redis could hold them up."""


class AwaitedProofs:
    """What one leader waits for."""

    def __init__(self, has_answered: Callable[[str], bool]) -> None:
        """``has_answered`` tells whether an incarnation has said in this term what it runs."""
        self._has_answered = has_answered
        self._until: float | None = None
        """The monotonic time at which the wait of this term ends, once it has begun."""
        self._seen = ""
        """The last entry of the stream that was seen while reports wait; "" while none does."""

    def wait_for_more(self, client: redis.Redis, seconds: float) -> None:
        """While reports wait unread, let some time pass until others follow them."""
        seen, self._seen = self._seen, ""
        if seen:
            report_stream.read(client, seen, block_seconds=seconds, limit=1)

    def is_due(self, batch: Batch, above: Iterable[Report], now: float) -> bool:
        """Return whether a batch stays unread: a proof of some reports in it may follow.

        ``above`` are its reports of epochs that no known term has given out. Their node may
        have still to register again.
        """
        said = {
            it.incarnation for it in batch.reports if isinstance(it, Inventory) and not it.remaining
        }
        awaited = {
            it.incarnation
            for it in above
            if it.incarnation not in said and not self._has_answered(it.incarnation)
        }
        if not awaited:
            return False
        if self._until is None:
            self._until = now + _SECONDS
        if now >= self._until:
            return False
        self._seen = batch.last
        return True
