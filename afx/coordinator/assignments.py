"""The assignments of sessions to nodes: SQL, memory, Redis and orders change together.

Nothing else writes assignments. Each change is committed to SQL first, in the
leader's term; only then do Redis and the nodes learn of it. A leader that dies in
between is corrected by the next one, which reads SQL, restores the owners
in Redis, reconciles the nodes' counts, and orders everything again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import peewee
import structlog

from afx.cluster.leadership import Leadership
from afx.cluster.registry import Registry
from afx.cluster.worker_records import LIVE_STATES, WorkerView
from afx.coordinator.assignment_change import Change, Placed, Proposal
from afx.coordinator.assignment_index import AssignmentIndex
from afx.coordinator.checkpoints import Checkpoints
from afx.coordinator.database_outage import SQL_ERRORS
from afx.coordinator.decisions.epochs import EpochCounter
from afx.coordinator.fencing import fenced_transaction
from afx.coordinator.orders import Orders
from afx.coordinator.ownership import Ownership
from afx.coordinator.placement_schedule import PlacementSchedule
from afx.coordinator.spec_publisher import SpecPublisher
from models.storage import assignments, queue
from models.storage.assignments import Active

_RECONCILED_PER_TICK = 10_000
"""Sessions; each node's are one call."""
_BUSY_TIMES = 3
"""A node that answers other orders has so many times as long for one."""

log = structlog.get_logger()


class AssignmentTable:
    """Every assignment that has not ended, in one term of leadership."""

    def __init__(
        self,
        *,
        leadership: Leadership,
        ownership: Ownership,
        registry: Registry,
        orders: Orders,
        specs: SpecPublisher,
        checkpoints: Checkpoints,
        schedule: PlacementSchedule,
        epochs: EpochCounter,
    ) -> None:
        """It is empty until ``load`` has got all that SQL has."""
        self._index = AssignmentIndex()
        self._leadership = leadership
        self._ownership = ownership
        self._registry = registry
        self._orders = orders
        self._specs = specs
        self._checkpoints = checkpoints
        self._schedule = schedule
        self._epochs = epochs
        self._live: frozenset[str] = frozenset()
        """The incarnations that were live when the nodes were last reconciled."""
        self._in_doubt: dict[int, Active] = {}
        """session → its assignment before SQL failed, when a change may have been committed."""

    def load(self, actives: Sequence[Active]) -> None:
        """Add assignments that SQL has; their owners are restored in Redis."""
        self._ownership.restore(actives)
        for it in actives:
            self._index.add(it)

    # --- reading --------------------------------------------------------------------

    @property
    def active(self) -> Mapping[int, Active]:
        """Session → its assignment."""
        return self._index.active

    def on(self, incarnation: str) -> list[Active]:
        """Return the assignments of one incarnation of a node."""
        return self._index.on(incarnation)

    def sessions_on(self, incarnation: str) -> Collection[int]:
        """Return the sessions of one incarnation of a node."""
        return self._index.sessions_on(incarnation)

    def counts(self) -> Mapping[str, int]:
        """Return how many assignments each incarnation has; 0 for all others."""
        return self._index.counts()

    def incarnations(self) -> set[str]:
        """Return the incarnations that have assignments."""
        return set(self._index.counts())

    def count_on_worker(self, name: str) -> int:
        """Return how many assignments a node has, in all its incarnations."""
        return self._index.count_on_worker(name)

    def current(self, session: int, epoch: int, incarnation: str) -> Active | None:
        """Return a session's assignment if it has this epoch and incarnation."""
        it = self._index.active.get(session)
        matches = it is not None and (it.epoch, it.incarnation) == (epoch, incarnation)
        return it if matches else None

    @property
    def newest_epoch(self) -> int:
        """No assignment has an epoch above it."""
        return self._epochs.newest

    def has_stopping(self) -> bool:
        """Return whether any session is stopping: room is about to appear."""
        return self._index.has_stopping()

    def unanswered(self, idle: Collection[str], seconds: float, now: float) -> list[Active]:
        """Return what live nodes have not stopped, or not started, for so long.

        ``idle`` are the incarnations that start no session: any other one may take
        its time for a start. A node that answers other orders meanwhile has much to do:
        it has ``_BUSY_TIMES`` as long.
        """
        busy = self._index.answering(now - seconds, now)
        found: list[Active] = []
        for state, nodes in (("stopping", self._live), ("assigned", self._live.intersection(idle))):
            for part, times in ((nodes - busy, 1), (nodes & busy, _BUSY_TIMES)):
                found += self._index.unanswered(state, part, now - times * seconds, now)
        return found

    # --- changes --------------------------------------------------------------------

    def place(self, proposals: Sequence[Proposal], now: float) -> Placed:
        """Make nodes the owners of sessions, and order them to start.

        A session that is in no part of the answer has to be planned again: its node has
        changed since the plan, or the session was removed.
        """
        claims = self._ownership.claim(
            [(self._new_assignment(it), it.placement.bytes) for it in proposals]
        )
        claimed = claims.claimed
        placed = {it.session for it in claimed}
        queued = [it.placement.session for it in proposals if it.queued]
        try:
            # Before the commit: after it, the order to start must not fail for lack of a spec.
            self._specs.publish(claimed)
            with fenced_transaction(self._leadership):
                assignments.create_many(claimed)
                queue.remove_many([it for it in queued if it in placed])
        except peewee.IntegrityError as error:
            log.warning("placement_abandoned", reason=str(error).partition("\n")[0])
            self._withdraw(claimed, now)
            return Placed({}, claims.no_room, claims.unreleased)
        except SQL_ERRORS:
            self._in_doubt.update((it.session, it) for it in claimed)
            raise
        except BaseException:
            self._withdraw(claimed, now)
            raise
        for it in claimed:
            self._index.add(it)
        self._schedule.note_gone(placed)
        self._order("start", claimed, now)
        return Placed({it.session: it for it in claimed}, claims.no_room, claims.unreleased)

    def stop(self, sessions: Iterable[int], now: float) -> None:
        """Order the nodes of sessions to stop them."""
        with self.change(now) as change:
            change.stop([self._index.active[it] for it in sessions])

    def end(self, actives: Sequence[Active], reason: str, now: float) -> None:
        """Note that no node runs sessions any more; ``reason`` is for people."""
        with self.change(now) as change:
            change.end(actives, reason)

    @contextmanager
    def change(self, now: float) -> Iterator[Change]:
        """Commit what the block changes, with what else it writes to SQL.

        After the commit memory, Redis and the nodes follow. Raises FencedError
        when a newer term has begun.
        """
        change = Change()
        try:
            with fenced_transaction(self._leadership):
                yield change
        except SQL_ERRORS:
            self._in_doubt.update((it, self._index.active[it]) for it in change.touched())
            raise
        self._apply(change, now)

    def settle_doubts(self, now: float) -> None:
        """Let memory, Redis and the nodes follow what SQL has, after it had failed.

        A commit whose answer was lost has happened, or has not: only SQL knows.
        """
        if not self._in_doubt:
            return
        stored = {it.session: it for it in assignments.active_of(list(self._in_doubt))}
        ended = [it for session, it in self._in_doubt.items() if session not in stored]
        changed = [it for it in stored.values() if self._index.active.get(it.session) != it]
        for it in ended:
            if it.session in self._index.active:
                self._index.remove(it.session)
        for it in changed:
            self._index.add(it)
        self._in_doubt.clear()
        self._schedule.note_ended((it.session for it in ended), now)
        self._schedule.note_gone(it.session for it in changed)
        self._ownership.release(ended)
        live = [it for it in changed if it.incarnation in self._live]
        self._order("start", [it for it in live if it.state == "assigned"], now)
        self._order("stop", [it for it in live if it.state == "stopping"], now)
        log.info("doubts_settled", ended=len(ended), changed=len(changed))

    # --- keeping Redis and the nodes in step -------------------------------------------

    def reconcile(self, nodes: Iterable[WorkerView]) -> list[WorkerView]:
        """Set the counts that Redis has of nodes to what SQL says, where they may be wrong.

        A leader that died between SQL and Redis may have left counts and
        reservations that belong to nothing. A node that registered again after
        Redis had lost it seems to be empty. A replica that became the primary may
        lack the last placements. Returns the nodes as they are now; nothing is
        placed on a node before it is reconciled in this term. When many nodes have
        to be, the rest follows in the next ticks.
        """
        reconciled = []
        budget = _RECONCILED_PER_TICK
        for it in nodes:
            if budget <= 0 or self._is_reconciled(it):
                reconciled.append(it)
            else:
                reconciled.append(self._reconciled(it))
                budget -= 1 + len(self._index.sessions_on(it.incarnation))
        self._live = frozenset(it.incarnation for it in reconciled if it.state in LIVE_STATES)
        return reconciled

    def resynchronise(self, sessions: Iterable[int], now: float) -> None:
        """Order live nodes to start sessions that they should run.

        A node answers what it runs already, and starts what it does not run any
        more. Reports may have been lost with Redis or with the previous leader,
        and so may specs.
        """
        found = [self._index.active[it] for it in sessions if it in self._index.active]
        actives = [
            it
            for it in found
            if it.state in ("assigned", "running") and it.incarnation in self._live
        ]
        self._specs.publish(actives)
        self._order("start", actives, now)

    def renew(self, sessions: Iterable[int]) -> None:
        """Let the nodes of sessions know new filters and transforms, without a restart.

        Nothing answers: each term orders it again for whatever has ever changed.
        """
        running = [self._index.active[it] for it in sessions]
        self._specs.publish(running)
        by_node: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
        for it in running:
            by_node[it.worker, it.incarnation].append((it.session, it.epoch))
        for (node, incarnation), items in by_node.items():
            self._orders.send("renew", self._leadership.term, node, incarnation, items)

    def repeat_orders(self, seconds: float, now: float) -> None:
        """Order again what live nodes have not answered for so long."""
        late = self._index.late(self._live, now - seconds, now)
        self._order("start", [it for it in late if it.state == "assigned"], now)
        self._order("stop", [it for it in late if it.state == "stopping"], now)

    # --- inside ---------------------------------------------------------------------

    def _new_assignment(self, proposal: Proposal) -> Active:
        it = proposal.placement
        epoch = self._epochs.take()
        return Active(it.session, it.node, it.incarnation, epoch, "assigned", proposal.revision)

    def _withdraw(self, claimed: Sequence[Active], now: float) -> None:
        """Give back places that SQL has not got; the sessions are planned again."""
        self._schedule.note_ended((it.session for it in claimed), now)
        self._ownership.release(claimed)

    def _apply(self, change: Change, now: float) -> None:
        for session in change.running:
            if self._index.active[session].state == "assigned":
                self._index.set_state(session, "running")
        for session in change.stopping:
            self._index.set_state(session, "stopping")
        for session in change.ended:
            self._index.remove(session)
        self._schedule.note_ended(change.ended, now)
        self._checkpoints.note((*change.running, *change.ended))
        self._ownership.release(list(change.ended.values()))
        stopping = [self._index.active[it] for it in change.stopping if it not in change.ended]
        self._order("stop", [it for it in stopping if it.incarnation in self._live], now)

    def _order(self, kind: str, actives: Sequence[Active], now: float) -> None:
        by_node: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
        for it in actives:
            by_node[it.worker, it.incarnation].append((it.session, it.epoch))
            self._index.note_ordered(it.session, now)
        for (node, incarnation), items in by_node.items():
            self._orders.send(kind, self._leadership.term, node, incarnation, items)

    def _is_reconciled(self, node: WorkerView) -> bool:
        count = len(self._index.sessions_on(node.incarnation))
        is_known = node.reconciled_term == self._leadership.term and node.assigned >= count
        return is_known or node.state not in LIVE_STATES

    def _reconciled(self, node: WorkerView) -> WorkerView:
        term = self._leadership.term
        ids = self._index.sessions_on(node.incarnation)
        self._registry.reconcile(node.name, node.incarnation, ids, term)
        return replace(node, assigned=len(ids), reconciled_term=term)
