"""Moves sessions between live nodes: for drains, rebalancing and operators.

    reserve room on B → order A to stop → A reports "stopped" → place on B

Each step follows from what the leader sees, so a new leader continues. A session
never starts on B because A took too long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from afx.cluster.worker_records import WorkerView
from afx.coordinator.assignments import AssignmentTable
from afx.coordinator.capacity import Capacity
from afx.coordinator.database_outage import SQL_ERRORS
from afx.coordinator.decisions import placement
from afx.coordinator.decisions.placement import Node, Placement, PlacementRequest, Plan
from afx.coordinator.reservations import Reservations
from afx.coordinator.successors import Successors
from afx.process_names import is_within
from models.storage import placing

_IN_FLIGHT_PER_NODE = 32
"""Sessions of one draining node that are on the move at a time."""
_IN_FLIGHT_IN_PLACE = 8
"""The same of a host that is replaced in place: both hosts share a machine, and the fewer start
at a time, the shorter each is silent."""


@dataclass(slots=True)
class MoveNews:
    """What one step of the moves came to."""

    begun: dict[int, str] = field(default_factory=dict)
    """session → the node to which it moves."""
    refused: dict[int, str] = field(default_factory=dict)
    """session → why it cannot move as requested."""
    stuck: Counter[str] = field(default_factory=Counter)
    """draining incarnation → how many sessions fit on no other node now."""


class Moves:
    """Begins moves: reserves room and stops the session; placement does the rest."""

    def __init__(
        self, table: AssignmentTable, capacity: Capacity, reservations: Reservations
    ) -> None:
        self._table = table
        self._capacity = capacity
        self._reservations = reservations
        self._successors = Successors()
        self._attempts = 0
        self._no_room: dict[int, int] = {}
        """Session of a draining node → the attempt that found no room for it."""

    def step(
        self,
        requested: Mapping[int, str],
        nodes: Sequence[WorkerView],
        ready: Sequence[Node],
        now: float,
    ) -> MoveNews:
        """Begin the moves that are due.

        ``requested`` is session → node, empty for any other than its own.
        """
        news = MoveNews()
        self._reservations.cancel_unused(self._table.active, now)
        planned = self._plan_requested(requested, ready, news)
        planned += self._plan_drains(nodes, ready, news, {it.session for it in planned}, now)
        if not planned:
            return news
        traits = placing.traits([it.session for it in planned])
        premium = {session for session, it in traits.items() if it.premium}
        reserved = self._reservations.reserve(planned, premium)
        for it in planned:
            if it.session in reserved:
                news.begun[it.session] = it.node
            elif it.session in requested:
                news.refused[it.session] = f"node {it.node} has no room for it"
        if news.begun:
            try:
                self._table.stop(news.begun, now)
            except SQL_ERRORS:
                self._reservations.cancel(news.begun)
                raise
        return news

    def _plan_requested(
        self, requested: Mapping[int, str], ready: Sequence[Node], news: MoveNews
    ) -> list[Placement]:
        requests = self._requests([it for it in requested if it in self._table.active])
        planned: list[Placement] = []
        for session, request in requests.items():
            active, target = self._table.active[session], requested[session]
            if session in self._reservations.placements or active.state == "stopping":
                continue
            if target and is_within(active.worker, target):
                continue
            homes = [
                it
                for it in ready
                if (is_within(it.name, target) if target else it.incarnation != active.incarnation)
            ]
            if target and not homes:
                news.refused[session] = f"node {target} is not ready"
                continue
            # Start tokens limit bursts of hundreds of sessions; a single move needs none.
            plan = placement.plan([request], [placement.with_starts(it, 1) for it in homes])
            if plan.placed:
                planned += plan.placed
            else:
                news.refused[session] = (
                    f"node {target} has no room for it" if target else "no other node has room"
                )
        return planned

    def _plan_drains(
        self,
        nodes: Sequence[WorkerView],
        ready: Sequence[Node],
        news: MoveNews,
        planned: Collection[int],
        now: float,
    ) -> list[Placement]:
        """Plan what draining nodes move next; ``planned`` are on the move already."""
        due = {
            it.incarnation: [
                session
                for session in self._next_to_drain(
                    it.incarnation,
                    _IN_FLIGHT_IN_PLACE if it.state == "replacing" else _IN_FLIGHT_PER_NODE,
                )
                if session not in planned
            ]
            for it in nodes
            if it.state in ("draining", "replacing")
        }
        plans: list[Plan] = []
        drained: list[int] = []
        homes = self._successors.homes(nodes, ready, self._table.counts(), now)
        for incarnation, sessions in due.items():
            if incarnation not in homes:
                drained += sessions
            elif sessions:
                requests = self._requests(sessions).values()
                plans.append(placement.plan(list(requests), homes[incarnation]))
        if drained:
            plans.append(placement.plan(list(self._requests(drained).values()), ready))
        self._attempts += 1
        without = [it for plan in plans for it in (*plan.full, *plan.unmatched)]
        tried = dict.fromkeys(without, self._attempts)
        placed = [it for plan in plans for it in plan.placed]
        found_room = {it.session for it in placed}
        no_room: dict[int, int] = {}
        for incarnation in due:
            for it in self._table.on(incarnation):
                attempt = tried.get(it.session, self._no_room.get(it.session))
                if attempt is not None and it.session not in found_room:
                    no_room[it.session] = attempt
                    news.stuck[incarnation] += it.session not in self._reservations.placements
        self._no_room = no_room
        return placed

    def _next_to_drain(self, incarnation: str, most: int) -> list[int]:
        """Return the sessions of a draining node that are to move next, ``most`` at a time.

        Those for which an earlier attempt found no room come last: a few of them must
        not keep all others from being tried.
        """
        here = self._table.on(incarnation)
        moving = self._reservations.placements
        rest = sorted(
            (
                it.session
                for it in here
                if it.session not in moving and it.state in ("assigned", "running")
            ),
            key=lambda it: (self._no_room.get(it, 0), it),
        )
        in_flight = sum(it.session in moving for it in here)
        return rest[: max(0, most - in_flight)]

    def _requests(self, sessions: Sequence[int]) -> dict[int, PlacementRequest]:
        return {
            session: self._capacity.move_request(session, traits)
            for session, traits in placing.traits(sessions).items()
        }
