"""Sessions that a node may run although SQL does not know it.

SQL may have lost its last commits, and a leader may have died between SQL and Redis. Such
a session is stopped, never adopted, and its owner in Redis is released once no node can
run it: after its node has reported that it stopped, or is dead. Until then it is not placed.

Redis may have lost the same assignments. So nothing is placed until the nodes that were live
when the term began have said what they run. Redis may have lost all of its data, and know no
node: then nothing is placed before each node has registered again, or its lease has ended.

A node may also run a session under an epoch that is above all of the term, and prove no
generation that has it: it is older than the proofs, or its keys were rotated. Since anyone
who can write to Redis may say so, no order follows; but the session is not placed while that
node is alive and says it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import structlog

from afx.cluster.leadership import Leadership
from afx.cluster.reports import Failed, Inventory, Running, Stopped
from afx.cluster.worker_records import LIVE_STATES, WorkerView
from afx.coordinator.assignments import AssignmentTable
from afx.coordinator.orders import Orders
from afx.coordinator.ownership import Ownership
from afx.coordinator.placement_schedule import PlacementSchedule
from models.storage.assignments import Active

_REPEAT_SECONDS = 5.0
_ASK_AGAIN_SECONDS = 30.0
"""After so long a node is asked again whether it runs what keeps a session from being placed."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Unknown:
    active: Active
    ordered_at: float | None = None
    """When its node was last ordered to stop it."""


class UnknownSessions:
    """What one leader has found, and what it has asked the nodes for."""

    def __init__(
        self,
        leadership: Leadership,
        *,
        table: AssignmentTable,
        ownership: Ownership,
        orders: Orders,
        schedule: PlacementSchedule,
        answer_seconds: float,
        settled_at: float = 0.0,
    ) -> None:
        """``answer_seconds`` bounds how long placement waits for the nodes.

        Until ``settled_at``, of the monotonic clock, nodes may run that Redis does not know.
        """
        self._leadership = leadership
        self._table = table
        self._ownership = ownership
        self._orders = orders
        self._schedule = schedule
        self._found: dict[int, _Unknown] = {}
        """session → where it may run."""
        self._unproved: dict[str, frozenset[int]] = {}
        """incarnation → the sessions that it runs, as it says, under epochs above this term's."""
        self._listed: dict[str, frozenset[int]] = {}
        """The same, of the parts of an inventory whose last part is still to come."""
        self._asked_at: dict[str, float] = {}
        """incarnation → when it was last asked what it runs."""
        self._answered: set[str] = set()
        """The incarnations that have said in this term what they run."""
        self._answer_seconds = answer_seconds
        self._settled_at = settled_at
        self._awaited: frozenset[str] | None = None
        """The incarnations that were live at the first step, or before ``settled_at``."""
        self._awaited_until = 0.0
        self._stepped_at = -math.inf

    def __contains__(self, session_id: object) -> bool:
        """Return whether a node may run a session unknown to SQL: it must not be placed."""
        return session_id in self._found or any(session_id in it for it in self._unproved.values())

    def owners(self) -> set[str]:
        """Return the incarnations that may run such sessions."""
        return {it.active.incarnation for it in self._found.values()} | self._unproved.keys()

    def has_answered(self, incarnation: str) -> bool:
        """Return whether a node has said in this term what it runs."""
        return incarnation in self._answered

    def are_found(self, nodes: Sequence[WorkerView], now: float) -> bool:
        """Return whether sessions may be placed: all nodes have said what they run.

        A node that has ended is not awaited, nor one whose host does not answer for long:
        it would keep the whole cluster from placing sessions.
        """
        if self._awaited is None or now < self._settled_at:
            return False
        if now >= self._awaited_until:
            return True
        live = {it.incarnation for it in nodes if it.state in LIVE_STATES}
        return not (self._awaited & live) - self._answered

    # --- finding them ---------------------------------------------------------------

    def note_unreleased(self, owners: Iterable[Active]) -> None:
        """Note the owners in Redis because of which sessions could not be placed."""
        for it in owners:
            self._note(it)

    def note_running(self, report: Running) -> None:
        """Note a report that is not of a current assignment."""
        self._note(
            Active(report.session_id, report.node, report.incarnation, report.epoch, "stopping")
        )

    def note_inventory(self, report: Inventory) -> None:
        """Compare what a node runs with SQL; an answer to an earlier leader is passed over."""
        if report.term != self._leadership.term:
            return
        unproved = set(self._listed.pop(report.incarnation, ()))
        for session_id, epoch in zip(report.session_ids, report.epochs, strict=False):
            if epoch > self._table.newest_epoch:
                unproved.add(session_id)
            else:
                self._note(Active(session_id, report.node, report.incarnation, epoch, "stopping"))
        if report.remaining:
            self._listed[report.incarnation] = frozenset(unproved)
            return
        self._answered.add(report.incarnation)
        self._hold(report, frozenset(unproved))

    def _hold(self, report: Inventory, unproved: frozenset[int]) -> None:
        """Keep those sessions from being placed, and no others for the sake of this node."""
        before = self._unproved.pop(report.incarnation, frozenset[int]())
        if unproved:
            self._unproved[report.incarnation] = unproved
        for it in sorted(unproved - before):
            log.error(
                "session_not_placed",
                session=it,
                node=report.node,
                reason="its node runs it under an epoch that no coordinator is known to have made",
                remedy=f"restart node {report.node}, and the session is placed anew",
            )
        self._place_soon(before - unproved, self._stepped_at)

    def _note(self, unknown: Active) -> None:
        session_id, epoch = unknown.session, unknown.epoch
        known = self._table.active.get(session_id)
        if known and known.incarnation == unknown.incarnation and known.epoch >= epoch:
            return  # it is known, or the node is ordered to restart it
        before = self._found.get(session_id)
        if before is None or before.active.epoch < epoch:
            self._found[session_id] = _Unknown(unknown)
            log.warning("session_unknown_to_sql", session=session_id, node=unknown.worker)

    # --- ending them ----------------------------------------------------------------

    def note_ended(self, ended: Sequence[Stopped | Failed], now: float) -> None:
        """Release sessions that have ended on their nodes and are not of a current assignment."""
        self._release(
            [Active(it.session_id, it.node, it.incarnation, it.epoch, "ended") for it in ended], now
        )

    def free(self, dead: Collection[str], now: float) -> None:
        """Release the sessions of dead incarnations."""
        self._release(
            [it.active for it in self._found.values() if it.active.incarnation in dead], now
        )
        for it in self._unproved.keys() & dead:
            self._place_soon(self._unproved.pop(it), now)

    def step(self, nodes: Sequence[WorkerView], now: float) -> None:
        """Ask each live node what it runs, and to stop what SQL does not know."""
        live = {it.incarnation: it.name for it in nodes if it.state in LIVE_STATES}
        if self._awaited is None or self._stepped_at < self._settled_at:
            # The first step after that time counts too: a node may have registered before it.
            self._awaited = frozenset(live) | (self._awaited or frozenset())
            self._awaited_until = max(now, self._settled_at) + self._answer_seconds
        self._stepped_at = now
        before = now - _REPEAT_SECONDS
        for incarnation in live.keys() - self._answered:
            if self._asked_at.get(incarnation, before) <= before:
                self._asked_at[incarnation] = now
                self._orders.ask_inventory(self._leadership.term, live[incarnation], incarnation)
        for incarnation in live.keys() & self._unproved.keys():
            if now - self._asked_at.get(incarnation, -math.inf) >= _ASK_AGAIN_SECONDS:
                self._asked_at[incarnation] = now
                self._orders.ask_inventory(self._leadership.term, live[incarnation], incarnation)
        due: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for it in self._found.values():
            is_due = it.ordered_at is None or it.ordered_at <= before
            if is_due and it.active.incarnation in live:
                it.ordered_at = now
                due[it.active.incarnation].append((it.active.session, it.active.epoch))
        for incarnation, items in due.items():
            term = self._leadership.term
            self._orders.send("stop", term, live[incarnation], incarnation, items)

    def _release(self, ended: Sequence[Active], now: float) -> None:
        if not ended:
            return
        self._ownership.release(ended)
        for it in ended:
            found = self._found.get(it.session)
            if found and found.active.incarnation == it.incarnation:
                if it.epoch >= found.active.epoch:
                    del self._found[it.session]
        self._place_soon([it.session for it in ended], now)

    def _place_soon(self, sessions: Collection[int], now: float) -> None:
        idle = [it for it in sessions if it not in self._table.active]
        if idle:
            self._schedule.note_ended(idle, now)
