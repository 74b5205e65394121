"""Plans the places of waiting sessions, and puts the plan into effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import peewee
import structlog

from afx.cluster.leadership import Leadership
from afx.coordinator.assignment_change import Proposal
from afx.coordinator.assignments import AssignmentTable
from afx.coordinator.capacity import Capacity
from afx.coordinator.decisions import fairness, placement
from afx.coordinator.decisions.fairness import Waiter
from afx.coordinator.decisions.placement import Node, PlacementRequest, Plan
from afx.coordinator.fencing import fenced_transaction
from afx.coordinator.overflow import Overflow
from afx.coordinator.reservations import Reservations
from afx.coordinator.unknown_sessions import UnknownSessions
from models.storage import queue
from models.storage.placing import Unplaced

log = structlog.get_logger()


@dataclass(slots=True, frozen=True)
class Outcome:
    """What one call of the placer did."""

    again: bool
    """Some sessions were not placed and may fit soon."""
    placed: int = 0
    unschedulable_premium: tuple[PlacementRequest, ...] = ()
    """Premium sessions that fit on no node, without those awake for a short time only."""


class Placer:
    """Places sessions in fair order, and keeps the overflow.

    A session on the move goes to the node where room is reserved for it.
    """

    def __init__(
        self,
        *,
        leadership: Leadership,
        table: AssignmentTable,
        capacity: Capacity,
        reservations: Reservations,
        overflow: Overflow,
        unknown: UnknownSessions,
    ) -> None:
        self._leadership = leadership
        self._unknown = unknown
        self._table = table
        self._capacity = capacity
        self._reservations = reservations
        self._overflow = overflow
        self._premium_run = 0
        """Grants in a row that went to premium sessions."""

    def place(self, waiting: Sequence[Unplaced], ready: Sequence[Node], now: float) -> Outcome:
        """Place sessions; unschedulable ones go to the overflow."""
        by_id = {it.id: it for it in waiting if it.id not in self._unknown}
        order = fairness.fair_order(
            [Waiter(it.id, it.tier == "premium", it.waited, it.awake) for it in by_id.values()],
            self._premium_run,
        )
        reserved = self._reserved_places(order, ready)
        requests = {
            it: self._capacity.request(by_id[it], now) for it in order if it not in reserved
        }
        plan = placement.plan(list(requests.values()), ready)
        planned = [*reserved.values(), *plan.placed]
        made = self._table.place(
            [Proposal(it, by_id[it.session].revision, by_id[it.session].queued) for it in planned],
            now,
        )
        self._unknown.note_unreleased(made.unreleased)
        for it in made.active.values():
            self._capacity.note_start(it.incarnation)
        self._reservations.settle({k: it.incarnation for k, it in made.active.items()})
        self._premium_run = fairness.run_after(
            self._premium_run, [by_id[it].tier == "premium" for it in order if it in made.active]
        )
        self._overflow.remove(made.active)
        reasons = _reasons(plan, made.no_room, by_id, has_ready_node=bool(ready))
        queued = self._queue(reasons, by_id)
        return Outcome(
            again=bool(plan.later)
            or len(made.active) + len(made.unreleased) < len(planned)
            or not queued,
            placed=len(made.active),
            unschedulable_premium=tuple(
                requests[it] for it in plan.full if requests[it].premium and not by_id[it].awake
            ),
        )

    def remove_obsolete(self) -> None:
        """Remove the sessions from the overflow that no longer need a place."""
        obsolete = queue.obsolete()
        if obsolete:
            with fenced_transaction(self._leadership):
                queue.remove_many(obsolete)
        self._overflow.remove(self._overflow.session_ids() - queue.ids())

    def _reserved_places(
        self, order: Sequence[int], ready: Sequence[Node]
    ) -> dict[int, placement.Placement]:
        homes = {it.incarnation for it in ready}
        places = self._reservations.placements
        return {it: places[it] for it in order if it in places and places[it].incarnation in homes}

    def _queue(self, reasons: Mapping[int, str], by_id: Mapping[int, Unplaced]) -> bool:
        """Put sessions into the overflow; False when one of them was removed meanwhile."""
        if not reasons:
            return True
        try:
            with fenced_transaction(self._leadership):
                queue.put_many(list(reasons.items()))
        except peewee.IntegrityError as error:
            log.warning("overflow_abandoned", reason=str(error).partition("\n")[0])
            return False
        self._overflow.put((it, by_id[it].tier, reason) for it, reason in reasons.items())
        return True


def _reasons(
    plan: Plan,
    no_room: Sequence[int],
    by_id: Mapping[int, Unplaced],
    *,
    has_ready_node: bool,
) -> dict[int, str]:
    """Return why sessions are unschedulable, for people."""
    reason = "all nodes are full" if has_ready_node else "there is no ready node"
    reasons = dict.fromkeys((*plan.full, *no_room), reason)
    for it in plan.unmatched:
        reasons[it] = queue.NO_LABELS + ", ".join(sorted(by_id[it].requires))
    return reasons
