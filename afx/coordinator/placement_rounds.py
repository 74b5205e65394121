"""Runs the rounds of placement that are due."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from afx.coordinator.decisions.placement import Node
from afx.coordinator.overflow import Overflow
from afx.coordinator.placement_schedule import PlacementSchedule, Round
from afx.coordinator.placer import Placer
from afx.coordinator.preemptor import Preemptor
from models.storage import placing
from models.storage.placing import Unplaced


class PlacementRounds:
    """Finds the sessions that wait, places them, and preempts others where needed."""

    def __init__(
        self,
        *,
        schedule: PlacementSchedule,
        placer: Placer,
        preemptor: Preemptor,
        overflow: Overflow,
        most: int,
        monotonic: Callable[[], float],
    ) -> None:
        """``most`` is how many sessions of a tier one query finds."""
        self._schedule = schedule
        self._placer = placer
        self._preemptor = preemptor
        self._overflow = overflow
        self._most = most
        self._monotonic = monotonic
        self._last_in_turn = 0
        """The session at which the last full round in the order of ids ended."""

    def run_if_due(self, ready: Sequence[Node], now: float) -> None:
        """Run a round if one is due."""
        due = self._schedule.next_round(now, self._overflow.session_ids())
        if due is None:
            return
        begun = self._monotonic()
        waiting, is_page_full = self._find_waiting(due)
        read_seconds = self._monotonic() - begun
        waiting = [it for it in waiting if not self._schedule.is_cooling(it.id, now)]
        again = False
        if waiting:
            outcome = self._placer.place(waiting, ready, now)
            preempted = self._preemptor.make_room(outcome.unschedulable_premium, ready, now)
            again = outcome.again or preempted > 0 or (is_page_full and outcome.placed > 0)
        self._schedule.finish(due, now, read_seconds=read_seconds, again=again)

    def _find_waiting(self, due: Round) -> tuple[list[Unplaced], bool]:
        """Return the sessions that wait, and whether there may be more of them."""
        only = None if due.sessions is None else sorted(due.sessions)
        found = {it.id: it for it in placing.unplaced(self._most, only)}
        is_page_full = len(found) >= self._most
        if due.is_full:
            self._placer.remove_obsolete()
            if is_page_full:
                # These may all be unschedulable: the others are tried in turn.
                more, self._last_in_turn = placing.unplaced_in_turn(self._last_in_turn, self._most)
                found |= {it.id: it for it in more}
        return list(found.values()), is_page_full
