"""The room of nodes and the size of sessions, as placement and rebalancing see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from afx.cluster.worker_records import LIVE_STATES, WorkerView
from afx.config import Settings
from afx.coordinator.decisions import placement, rebalance, session_size, token_bucket
from afx.coordinator.decisions.rebalance import Movable, Move, NodeLoad
from afx.coordinator.decisions.scale_in import NodeFigures
from afx.coordinator.decisions.session_size import CLASSES, Class
from afx.coordinator.wire import Headroom
from models.storage import placing
from models.storage.placing import Traits, Unplaced, labels_of

_FAILED_MEMORY_SECONDS = 60.0
_FLAP_MEMORY_SECONDS = 600.0
_SOURCES_PER_ROUND = 5


class Capacity:
    """What one leader has learned: start tokens, sizes of sessions, failures, deaths of nodes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._headroom = Headroom.from_settings(settings)
        self._buckets: dict[str, token_bucket.Bucket] = {}
        self._empty_rss: dict[str, int] = {}
        self._seen_empty: dict[str, int] = {}
        """The RSS of nodes that this leader has seen without any session."""
        self._least_empty = 0
        self._failed_on: dict[int, tuple[str, float]] = {}
        self._deaths: dict[str, list[float]] = {}
        self._counts: Mapping[str, Mapping[Class, int]] = {}
        """incarnation → how many sessions of each class it had when sizes were last learned."""
        self._costs: dict[Class, float] = dict.fromkeys(CLASSES, settings.session_kib * 1024.0)

    def note_failure(self, session: int, node: str, now: float) -> None:
        """Remember where a session failed: for some time it is placed elsewhere."""
        self._failed_on[session] = (node, now)

    def note_death(self, node: str, now: float) -> None:
        """Remember that a node died: for some time it gets fewer sessions."""
        self._deaths.setdefault(node, []).append(now)

    def note_start(self, incarnation: str) -> None:
        """Take one start token of a node."""
        self._buckets[incarnation] = token_bucket.spent(self._buckets[incarnation], 1)

    def node(self, it: WorkerView, now: float, rate: float = 1.0) -> placement.Node:
        """Return a node as placement sees it; refills its start tokens.

        ``rate`` is the share of the usual rate at which it may start sessions.
        """
        settings = self._settings
        bucket = token_bucket.refilled(
            self._buckets.get(it.incarnation, token_bucket.Bucket(settings.start_burst, now)),
            now,
            settings.starts_per_second * rate,
            settings.start_burst,
        )
        self._buckets[it.incarnation] = bucket
        limit = it.metrics.ram_limit
        free = it.metrics.ram_free - it.reserved - self._headroom.of(it)
        flaps = [at for at in self._deaths.get(it.name, ()) if now - at < _FLAP_MEMORY_SECONDS]
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
            int(settings.premium_headroom_share * limit),
        )

    def learn(self, nodes: Iterable[WorkerView], counts: Mapping[str, Mapping[Class, int]]) -> None:
        """Learn the size of a session of each class from the RSS of whole nodes.

        ``counts`` is incarnation → how many sessions of each class run there.
        """
        self._counts = counts
        samples: list[tuple[float, Mapping[Class, int]]] = []
        base = 0.0
        for it in nodes:
            if it.state in LIVE_STATES:
                empty = self._empty_rss.setdefault(it.incarnation, it.empty_rss or it.metrics.rss)
                base = max(base, float(empty))
                samples.append((it.metrics.rss, counts.get(it.incarnation, {})))
        self._costs = session_size.fit(samples, self._settings.session_kib * 1024.0, base)

    def needed(self, incarnation: str) -> float | None:
        """Return the bytes that a node's sessions need by their classes; None: not counted."""
        counts = self._counts.get(incarnation)
        if counts is None:
            return None
        return sum(count * self._costs[it] for it, count in counts.items())

    def empty_rss(self, incarnation: str) -> int | None:
        """Return the RSS of a node without sessions; None when none was seen without any."""
        return self._seen_empty.get(incarnation, self._least_empty) or None

    def note_nodes(self, nodes: Sequence[WorkerView]) -> None:
        """Remember the RSS of new nodes before they have any session.

        A leader that comes later takes what they had when they registered.
        """
        for it in nodes:
            is_empty = not it.metrics.sessions and not it.assigned
            if empty := it.metrics.rss if is_empty else it.empty_rss:
                self._empty_rss.setdefault(it.incarnation, empty)
                self._seen_empty.setdefault(it.incarnation, empty)
        if len(self._seen_empty) > 2 * len(nodes):
            present = {it.incarnation for it in nodes}
            self._seen_empty = {k: v for k, v in self._seen_empty.items() if k in present}
        self._least_empty = min(self._seen_empty.values(), default=self._least_empty)

    def scaling_figures(self, it: WorkerView, *, is_fresh: bool) -> NodeFigures:
        """Return a node as scaling sees it: without the RAM that it needs when it is empty."""
        metrics = it.metrics
        empty = self._seen_empty.get(it.incarnation, self._least_empty)
        used = max(0, metrics.rss - empty) + max(0, it.reserved)
        free = metrics.ram_free - max(0, it.reserved) - self._headroom.of(it)
        return NodeFigures(
            it.name,
            it.incarnation,
            used,
            used + max(0, free),
            max(0, it.assigned),
            max(1, it.max_sessions),
            min(1.0, metrics.cpu),
            is_ready=it.state == "ready",
            is_fresh=is_fresh and not it.faults,
            labels=labels_of(it.labels),
        )

    def cost(self, premium: bool, active: bool) -> int:
        """Return the bytes that one more session of a class needs."""
        return max(1, int(self._costs[premium, active]))

    def request(self, it: Unplaced, now: float) -> placement.PlacementRequest:
        """Return a waiting session as placement sees it."""
        node, at = self._failed_on.get(it.id, ("", 0.0))
        failed = frozenset((node,) if node and now - at < _FAILED_MEMORY_SECONDS else ())
        premium = it.tier == "premium"
        return placement.PlacementRequest(
            it.id, self.cost(premium, it.active), it.last_worker, failed, premium, it.requires
        )

    def move_request(self, session: int, traits: Traits) -> placement.PlacementRequest:
        """Return a session that is to move as placement sees it."""
        return placement.PlacementRequest(
            session,
            self.cost(traits.premium, traits.active),
            premium=traits.premium,
            requires=traits.requires,
        )


def rebalance_plan(nodes: Sequence[WorkerView], rest: timedelta, capacity: Capacity) -> list[Move]:
    """Return the moves that would rebalance the nodes now.

    A session whose last move is not ``rest`` ago does not move. The sessions of the
    fullest nodes are read, and none while the nodes are even.
    """
    sources = rebalance.sources(node_loads(nodes), _SOURCES_PER_ROUND)
    if not sources:
        return []
    running = placing.running(rest, workers=sources)
    live = {it.incarnation for it in nodes if it.state in LIVE_STATES}
    movable = [
        Movable(
            it.session, it.incarnation, capacity.cost(it.tier == "premium", it.active), it.requires
        )
        for it in running
        if it.rested and it.incarnation in live
    ]
    moved = placing.moved_within(timedelta(hours=1))
    sessions = sum(it.assigned for it in nodes)
    return rebalance.plan(node_loads(nodes), movable, rebalance.budget(sessions, moved))


def node_loads(nodes: Iterable[WorkerView]) -> list[NodeLoad]:
    """Return the ready nodes and their loads."""
    return [
        NodeLoad(
            it.name,
            it.incarnation,
            it.metrics.rss + it.reserved,
            it.metrics.rss + it.reserved + max(0, it.metrics.ram_free),
            it.assigned,
            it.max_sessions,
            labels_of(it.labels),
        )
        for it in nodes
        if it.state == "ready"
    ]
