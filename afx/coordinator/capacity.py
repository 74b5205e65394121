"""What placement is told: nodes with their room and start tokens, and wishes."""

from __future__ import annotations

from collections.abc import Iterable

from afx.cluster.registry import LIVE_STATES, WorkerView
from afx.config import Settings
from afx.coordinator import pacing, placement
from models.storage.placing import Unplaced

_MIB = 1024 * 1024
_FAILED_MEMORY_SECONDS = 60.0


class Capacity:
    """What one leader remembers of nodes: their start tokens, size and failures."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._buckets: dict[str, pacing.Bucket] = {}
        self._empty_rss: dict[str, int] = {}
        self._failed_on: dict[int, tuple[str, float]] = {}

    @property
    def headroom(self) -> int:
        """Bytes of a node that are never promised."""
        return self._settings.ram_headroom_mib * _MIB

    def note_failure(self, session: int, node: str, now: float) -> None:
        """Remember where a session failed: for a while it goes elsewhere."""
        self._failed_on[session] = (node, now)

    def note_start(self, incarnation: str) -> None:
        """Take one start token of a node."""
        self._buckets[incarnation] = pacing.spent(self._buckets[incarnation], 1)

    def node(self, it: WorkerView, now: float) -> placement.Node:
        """Return a node as placement sees it; refills its start tokens."""
        settings = self._settings
        bucket = pacing.refilled(
            self._buckets.get(it.incarnation, pacing.Bucket(settings.start_burst, now)),
            now, settings.starts_per_second, settings.start_burst,
        )  # fmt: skip
        self._buckets[it.incarnation] = bucket
        share = int(settings.ram_headroom_share * it.metrics.ram_limit)
        free = it.metrics.ram_free - it.reserved - max(self.headroom, share)
        return placement.Node(
            it.name, it.incarnation, free, max(0, free) + it.metrics.rss + it.reserved,
            it.metrics.cpu, it.assigned, it.max_sessions, int(bucket.tokens), it.metrics.starting,
        )  # fmt: skip

    def needed_bytes(self, nodes: Iterable[WorkerView]) -> int:
        """Return what one more session needs, by what the nodes use now."""
        rss = empty = count = 0
        for it in nodes:
            if it.state in LIVE_STATES:
                rss += it.metrics.rss
                empty += self._empty_rss.setdefault(it.incarnation, it.metrics.rss)
                count += it.metrics.sessions
        return placement.needed_bytes(rss, empty, count, self._settings.session_kib * 1024)

    def wish(self, it: Unplaced, needed: int, now: float) -> placement.Wish:
        """Return a waiting session as placement sees it."""
        node, at = self._failed_on.get(it.id, ("", 0.0))
        failed = frozenset((node,) if node and now - at < _FAILED_MEMORY_SECONDS else ())
        return placement.Wish(it.id, needed, it.last_worker, failed)
