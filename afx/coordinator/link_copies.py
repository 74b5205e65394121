"""Copies links from Redis to SQL, back when Redis lost them, and deletes those of removed rules.

With these it deletes what is stored of their pools' lanes.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import timedelta

import redis
import structlog

from afx.cluster import keys
from afx.cluster.leadership import Leadership
from afx.cluster.links import CopyRoute, layout, parse_block
from afx.cluster.pool_doubts import end_lanes
from afx.cluster.stored_links import BlockName, StoredLinks
from afx.cluster.writes import write
from afx.coordinator.fencing import fenced_transaction
from afx.coordinator.interval import Interval
from models.base import utc_now
from models.storage import audit, dead_letters, held_messages, links
from models.storage.links import Block

_INTERVAL_SECONDS = 1.0
_PRUNE_SECONDS = 60.0
_COPIED = 200
"""Blocks in one step; a step is a part of a tick, which has to be short."""
_RESTORED = 100
_RULES = 100
_PRUNED = 500

log = structlog.get_logger()


class LinkCopies:
    """One leader's copying, a little at a time."""

    def __init__(
        self,
        client: redis.Redis,
        raw_client: redis.Redis,
        leadership: Leadership,
        *,
        link_days: int,
    ) -> None:
        """``raw_client`` does not decode answers: blocks are no text."""
        self._redis = client
        self._leadership = leadership
        self._kept = timedelta(days=link_days + 1)  # as nodes do
        self._stored = StoredLinks(client, raw_client)
        self._interval = Interval(_INTERVAL_SECONDS)
        self._prune_interval = Interval(_PRUNE_SECONDS)
        self._restored_to = 0
        """The id of the last row that was put back."""

    def step(self, now: float) -> None:
        """Do a part of the work; raises FencedError when a newer term has begun."""
        if not self._interval.is_due(now):
            return
        self._leadership.check()
        if not self._redis.exists(keys.LINKS_COMPLETE):
            self._restore_page()
        self._copy()
        self._delete_of_removed_rules()
        if self._prune_interval.is_due(now):
            self._prune()

    def _restore_page(self) -> None:
        page = links.page(self._restored_to, _RESTORED)
        found = []
        for _, session, it in page:
            route = CopyRoute(it.rule, it.source, it.destination)
            try:
                found.append((session, (route, it.number), b64decode(it.links, validate=True)))
            except ValueError:
                log.error("links_malformed", rule=it.rule, block=it.number)
        term = self._leadership.term
        self._stored.restore(term, int(self._kept.total_seconds()), found)
        if page:
            self._restored_to = page[-1][0]
            return
        if self._restored_to:
            log.warning("links_restored", reason="Redis lost its data")
        # Fenced: a flush in between takes the term away, too.
        write(self._redis, {keys.LINKS_COMPLETE: 1}, term)

    def _copy(self) -> None:
        changed = self._stored.changed(_COPIED)
        if not changed:
            return
        with fenced_transaction(self._leadership):
            if held_messages.rules_with_some({route.rule for (route, _), _ in changed}):
                audit.lock_head()  # see ``held_intake.lock``
            links.save_many(
                Block(*route, number, b64encode(data).decode()) for (route, number), data in changed
            )
            self._settle_delivered(changed)
        self._stored.note_copied(self._leadership.term, changed)

    def _settle_delivered(self, changed: Sequence[tuple[BlockName, bytes]]) -> None:
        """A message that has a link was delivered: a replay may have met its dead letter.

        Nor does it wait for an approval: what says that it was released may be lost.
        """
        of_blocks = {route.rule for (route, _), _ in changed}
        dead = dead_letters.rules_with_some(of_blocks)
        held = held_messages.rules_with_some(of_blocks)
        for (route, number), data in changed:
            if route.rule in dead or route.rule in held:
                first = number * layout(route.source).size
                messages = [first + it for it in parse_block(route.source, data)]
                if route.rule in dead:
                    dead_letters.settle(*route, messages)
                if route.rule in held:
                    held_messages.settle(*route, messages)

    def _delete_of_removed_rules(self) -> None:
        rules = self._stored.rules(_RULES)
        for rule in set(rules) - links.existing_rules(rules):
            for it in end_lanes(self._redis, rule):
                # Nobody is told any more whether it was sent.
                log.warning(
                    "doubt_ended",
                    reason="its rule was removed",
                    rule=rule,
                    sender=it.sender,
                    source=it.source,
                    message=it.message,
                )
            self._stored.delete(rule)
            log.info("links_deleted", rule=rule)

    def _prune(self) -> None:
        with fenced_transaction(self._leadership):
            links.prune(utc_now() - self._kept, _PRUNED)
