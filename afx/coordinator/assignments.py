"""The leader's copy of which node runs what, kept in step with SQL and Redis."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import redis

from afx.cluster import keys
from afx.cluster.leadership import Leader
from afx.cluster.registry import LIVE_STATES, Registry, WorkerView
from afx.cluster.scripts import source
from afx.coordinator.orders import Orders
from afx.coordinator.wire import release_item
from afx.errors import FencedError
from models.storage import assignments
from models.storage.assignments import Active

_WRITE_MOST = 1000


class AssignmentTable:
    """Every assignment that has not ended, and what was ordered of it."""

    def __init__(
        self, client: redis.Redis, leader: Leader, orders: Orders, cool_down_seconds: float
    ) -> None:
        self._leader = leader
        self._orders = orders
        self._release = client.register_script(source("release"))
        self._restore = client.register_script(source("restore"))
        self._cool_down = cool_down_seconds
        self.active: dict[int, Active] = {}
        """session → its assignment."""
        self.freed: set[int] = set()
        """Sessions whose assignment has ended, and that nobody has placed since."""
        self.cooling: dict[int, float] = {}
        """session → monotonic instant before which it is not placed again."""
        self.sent_at: dict[int, float] = {}
        """session → when it was last told to start or to stop."""
        self._on: dict[str, set[int]] = {}
        """incarnation → its sessions."""
        self._open: set[int] = set()
        """Sessions that are on their way up or down: few, so they are looked at often."""
        self._since: dict[int, float] = {}
        """session → when its assignment came into the state that it is in."""

    def read(self) -> None:
        """Read what SQL says, and write to Redis who owns what.

        A Redis that was restarted or flushed may have forgotten it.
        """
        self._take(assignments.active())
        self._write(self._restore, list(self.active.values()))

    def count(self, registry: Registry, nodes: Iterable[WorkerView]) -> list[WorkerView]:
        """Correct what Redis says of nodes that this leader has not counted yet.

        A leader that died between SQL and Redis may have left counts and
        reservations there that belong to nothing; a node that has registered
        again, for Redis had lost it, seems to be empty; and a replica that took
        over may not have heard of the last placements. Returns the nodes as they
        are now; nothing is placed on others.
        """
        return [self._counted(registry, it) for it in nodes]

    def _counted(self, registry: Registry, node: WorkerView) -> WorkerView:
        term = self._leader.term
        ids = self._on.get(node.incarnation, ())
        known = node.counted == term and node.assigned >= len(ids)
        if known or node.state not in LIVE_STATES:
            return node
        registry.correct(node.name, node.incarnation, ids, term)
        return replace(node, assigned=len(ids), counted=term)

    def _take(self, actives: Iterable[Active]) -> None:
        for it in actives:
            self.active[it.session] = it
            self._on.setdefault(it.incarnation, set()).add(it.session)
            if it.state != "running":
                self._open.add(it.session)

    def on(self, incarnation: str) -> list[Active]:
        """Return what one incarnation of a node has."""
        return [self.active[it] for it in self._on.get(incarnation, ())]

    def counts(self) -> Counter[str]:
        """Return how many assignments each incarnation has, if it has any."""
        return Counter({incarnation: len(held) for incarnation, held in self._on.items()})

    def add(self, placed: dict[int, Active]) -> None:
        """Take in new assignments; SQL has them already."""
        self._take(placed.values())
        for session in placed:
            self._since.pop(session, None)
        self.freed.difference_update(placed)

    def set_state(self, session: int, state: str) -> None:
        """Note an assignment's new state; SQL has it already."""
        self.active[session] = replace(self.active[session], state=state)
        if state == "running":
            self._open.discard(session)
        else:
            self._open.add(session)
        self._since.pop(session, None)

    def drop(self, gone: Iterable[Active]) -> None:
        """Forget assignments that have ended, and free their room in Redis.

        Raises FencedError when a newer leader rules.
        """
        ended = list({it.session: it for it in gone}.values())
        now = time.monotonic()
        for it in ended:
            self._let_go(it.session)
            self.sent_at.pop(it.session, None)
            self._since.pop(it.session, None)
            self.freed.add(it.session)
            if self._cool_down:
                self.cooling[it.session] = now + self._cool_down
        self._write(self._release, ended)

    def _let_go(self, session: int) -> None:
        held = self.active.pop(session, None)
        self._open.discard(session)
        if held:
            rest = self._on[held.incarnation]
            rest.discard(session)
            if not rest:
                del self._on[held.incarnation]

    def _write(self, script: Any, chosen: Sequence[Active]) -> None:
        for start in range(0, len(chosen), _WRITE_MOST):
            part = chosen[start : start + _WRITE_MOST]
            answer = script(
                keys=[keys.TERM], args=[self._leader.term, *(release_item(it) for it in part)]
            )
            if int(answer) < 0:
                raise FencedError("Another coordinator leads now.")

    def send(self, kind: str, chosen: Iterable[Active], now: float) -> None:
        """Order nodes to ``start`` or ``stop`` what they were given."""
        by_node: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
        for it in chosen:
            by_node[it.worker, it.incarnation].append((it.session, it.epoch))
            self.sent_at[it.session] = now
        for (node, incarnation), items in by_node.items():
            self._orders.send(kind, self._leader.term, node, incarnation, items)

    def late(self, state: str, live: set[str], now: float, seconds: float) -> list[Active]:
        """Return what live nodes have not answered to since it was last ordered."""
        return self._overdue(self.sent_at, state, live, now - seconds, now)

    def unanswered(self, state: str, live: set[str], now: float, seconds: float) -> list[Active]:
        """Return what has been in a state for so long, however often it was ordered again."""
        return self._overdue(self._since, state, live, now - seconds, now)

    def _overdue(
        self, times: dict[int, float], state: str, live: set[str], before: float, now: float
    ) -> list[Active]:
        """Return those of a state; ``assigned`` and ``stopping`` are what is looked for."""
        return [
            it
            for it in (self.active[session] for session in self._open)
            if it.state == state
            and it.incarnation in live
            and times.setdefault(it.session, now) < before
        ]
