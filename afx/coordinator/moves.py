"""Moves sessions between live nodes: for drains, and when somebody asks.

    room is kept on B → STOP to A → A says it has stopped → START on B

Each step follows from what the leader sees, so a new leader goes on where the
old one was. A session never starts on B because A took too long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from afx.cluster.leadership import Leader
from afx.cluster.registry import WorkerView
from afx.coordinator.assignments import AssignmentTable
from afx.coordinator.decisions import placement
from afx.coordinator.placer import Placer
from models.base import transaction
from models.storage import assignments, cluster

_AT_ONCE = 32
"""Sessions of one draining node that are on the move at a time."""
_FORGET_SECONDS = 30.0


@dataclass(slots=True)
class MoveNews:
    """What one step of the moves came to."""

    begun: dict[int, str] = field(default_factory=dict)
    """session → the node to which it goes."""
    refused: dict[int, str] = field(default_factory=dict)
    """session → why it cannot go where it was asked to."""
    stuck: Counter[str] = field(default_factory=Counter)
    """draining incarnation → how many sessions fit on no other node now."""


class Moves:
    """Begins moves, and gives room back that nobody came for."""

    def __init__(self, leader: Leader, table: AssignmentTable, placer: Placer) -> None:
        self._leader = leader
        self._table = table
        self._placer = placer
        self._idle_since: dict[int, float] = {}

    def step(
        self,
        asked: Mapping[int, str],
        nodes: Sequence[WorkerView],
        ready: Sequence[placement.Node],
        now: float,
    ) -> MoveNews:
        """Begin the moves that are due.

        ``asked`` is session → node, empty for any other than its own.
        """
        news = MoveNews()
        self._give_back(now)
        wanted = self._asked(asked, ready, news)
        wanted += self._drained(nodes, ready, news)
        if not wanted:
            return news
        held = self._placer.keep_room(wanted)
        going = [it for it in wanted if it.session in held]
        for it in wanted:
            if it.session in held:
                news.begun[it.session] = it.node
            elif it.session in asked:
                news.refused[it.session] = f"node {it.node} has no room for it"
        if going:
            self._stop([it.session for it in going], now)
        return news

    def _asked(
        self,
        asked: Mapping[int, str],
        ready: Sequence[placement.Node],
        news: MoveNews,
    ) -> list[placement.Placement]:
        by_name = {it.name: it for it in ready}
        its_wish = self._placer.wishes([it for it in asked if it in self._table.active])
        wanted: list[placement.Placement] = []
        for session, target in asked.items():
            active = self._table.active.get(session)
            if active is None or session in self._placer.room_kept() or session not in its_wish:
                continue
            if active.state == "stopping" or active.worker == target:
                continue
            if target and target not in by_name:
                news.refused[session] = f"node {target} is not ready"
                continue
            homes = (
                [by_name[target]]
                if target
                else [it for it in ready if it.incarnation != active.incarnation]
            )
            # The node's start tokens are for hundreds; one more is no burst.
            plan = placement.plan(
                [its_wish[session]],
                [placement.with_starts(it, 1) for it in homes],
            )
            if plan.placed:
                wanted += plan.placed
            else:
                news.refused[session] = (
                    f"node {target} has no room for it" if target else "no other node has room"
                )
        return wanted

    def _drained(
        self,
        nodes: Sequence[WorkerView],
        ready: Sequence[placement.Node],
        news: MoveNews,
    ) -> list[placement.Placement]:
        kept = self._placer.room_kept()
        draining = [it.incarnation for it in nodes if it.state == "draining"]
        home: dict[int, str] = {}
        for incarnation in draining:
            here = self._table.on(incarnation)
            still = sorted(
                it.session
                for it in here
                if it.session not in kept and it.state in ("assigned", "running")
            )
            moving = sum(it.session in kept for it in here)
            for session in still[: max(0, _AT_ONCE - moving)]:
                home[session] = incarnation
        if not home:
            return []
        plan = placement.plan(list(self._placer.wishes(list(home)).values()), ready)
        news.stuck.update(home[it] for it in (*plan.full, *plan.unmatched))
        return list(plan.placed)

    def _stop(self, sessions: Sequence[int], now: float) -> None:
        chosen = [self._table.active[it] for it in sessions]
        self._leader.check()
        with transaction():
            cluster.hold(self._leader.term)
            assignments.mark_stopping([(it.session, it.epoch) for it in chosen])
        for it in chosen:
            self._table.set_state(it.session, "stopping")
        self._table.send("stop", chosen, now)

    def _give_back(self, now: float) -> None:
        """Free room of sessions that run nowhere and were not placed for long.

        They were paused or removed on their way.
        """
        idle = [it for it in self._placer.room_kept() if it not in self._table.active]
        self._idle_since = {it: self._idle_since.get(it, now) for it in idle}
        self._placer.give_room_back(
            [it for it, since in self._idle_since.items() if now - since > _FORGET_SECONDS]
        )
