"""What placement is told: nodes with their room and start tokens, and wishes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from afx.cluster.registry import LIVE_STATES, WorkerView
from afx.config import Settings
from afx.coordinator.decisions import placement, session_size, token_bucket
from afx.coordinator.decisions.session_size import CLASSES, Class
from models.storage.placing import Running, Unplaced, labels_of

_MIB = 1024 * 1024
_FAILED_MEMORY_SECONDS = 60.0
_FLAP_MEMORY_SECONDS = 600.0


class Capacity:
    """What one leader has learned of nodes: start tokens, sizes, failures, flaps."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._buckets: dict[str, token_bucket.Bucket] = {}
        self._empty_rss: dict[str, int] = {}
        self._failed_on: dict[int, tuple[str, float]] = {}
        self._failures: dict[str, list[float]] = {}
        self._costs: dict[Class, float] = dict.fromkeys(CLASSES, settings.session_kib * 1024.0)
        self.rate = 1.0
        """Share of the usual rate at which nodes may start sessions (the brake)."""

    @property
    def headroom(self) -> int:
        """Bytes of a node that are never promised."""
        return self._settings.ram_headroom_mib * _MIB

    def kept(self, ram_limit: int) -> int:
        """Return the bytes of a node that only premium users' sessions may take."""
        return int(self._settings.premium_headroom_share * ram_limit)

    def note_failure(self, session: int, node: str, now: float) -> None:
        """Remember where a session failed: for a while it goes elsewhere."""
        self._failed_on[session] = (node, now)

    def note_death(self, node: str, now: float) -> None:
        """Remember that a node died: it gets fewer sessions for a while."""
        self._failures.setdefault(node, []).append(now)

    def note_start(self, incarnation: str) -> None:
        """Take one start token of a node."""
        self._buckets[incarnation] = token_bucket.spent(self._buckets[incarnation], 1)

    def node(self, it: WorkerView, now: float) -> placement.Node:
        """Return a node as placement sees it; refills its start tokens."""
        settings = self._settings
        bucket = token_bucket.refilled(
            self._buckets.get(it.incarnation, token_bucket.Bucket(settings.start_burst, now)),
            now,
            settings.starts_per_second * self.rate,
            settings.start_burst,
        )
        self._buckets[it.incarnation] = bucket
        share = int(settings.ram_headroom_share * it.metrics.ram_limit)
        free = it.metrics.ram_free - it.reserved - max(self.headroom, share)
        flaps = [at for at in self._failures.get(it.name, ()) if now - at < _FLAP_MEMORY_SECONDS]
        return placement.Node(
            it.name,
            it.incarnation,
            free,
            max(0, free) + it.metrics.rss + it.reserved,
            it.metrics.cpu,
            it.assigned,
            it.max_sessions,
            int(bucket.tokens),
            it.metrics.starting,
            len(flaps),
            labels_of(it.labels),
            self.kept(it.metrics.ram_limit),
        )

    def learn(self, nodes: Iterable[WorkerView], running: Sequence[Running]) -> None:
        """Learn what a session of each class costs, from what whole nodes use."""
        counts: dict[str, Counter[Class]] = {}
        for one in running:
            held = counts.setdefault(one.incarnation, Counter())
            held[one.tier == "premium", one.active] += 1
        seen: list[tuple[float, Mapping[Class, int]]] = []
        base = 0.0
        for it in nodes:
            if it.state in LIVE_STATES:
                empty = self._empty_rss.setdefault(it.incarnation, it.metrics.rss)
                base = max(base, float(empty))
                seen.append((it.metrics.rss, counts.get(it.incarnation, {})))
        self._costs = session_size.fit(seen, self._settings.session_kib * 1024.0, base)

    def note_nodes(self, nodes: Iterable[WorkerView]) -> None:
        """Remember what new nodes use before they have any session."""
        for it in nodes:
            if not it.metrics.sessions and not it.assigned:
                self._empty_rss.setdefault(it.incarnation, it.metrics.rss)

    def cost(self, premium: bool, active: bool) -> int:
        """Return the bytes that one more session of a class needs."""
        return max(1, int(self._costs[premium, active]))

    def wish(self, it: Unplaced, now: float) -> placement.PlacementRequest:
        """Return a waiting session as placement sees it."""
        node, at = self._failed_on.get(it.id, ("", 0.0))
        failed = frozenset((node,) if node and now - at < _FAILED_MEMORY_SECONDS else ())
        premium = it.tier == "premium"
        return placement.PlacementRequest(
            it.id, self.cost(premium, it.active), it.last_worker, failed, premium, it.requires
        )
