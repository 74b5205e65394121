"""Runs the rounds of placement that are due."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from afx.coordinator.decisions.placement import Node
from afx.coordinator.overflow import Overflow
from afx.coordinator.placement_schedule import PlacementSchedule, Round
from afx.coordinator.placer import Placer
from afx.coordinator.preemptor import Preemptor
from afx.coordinator.session_scan import SessionScan
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
        self._scan = SessionScan()
        self._scan_seconds = 0.0
        """How long the present pass over all sessions has taken."""
        self._found: list[int] = []
        """The sessions that wait, as the present pass has found them."""

    def run_if_due(self, ready: Sequence[Node], now: float) -> None:
        """Run a round if one is due.

        A full one is preceded by a pass over all sessions, a range in each tick. While it
        is under way, rounds for sessions that have ended are run.
        """
        begun = self._monotonic()
        due = self._schedule.next_round(now, self._overflow.session_ids())
        if due is None:
            return
        chosen = due.sessions
        if due.is_full:
            ended = self._schedule.round_for_ended(now, self._overflow.session_ids())
            if self._scan_is_done():
                chosen = self._found_and(ended)
            elif ended is not None:
                due, chosen = ended, ended.sessions
            else:
                self._scan_seconds += self._monotonic() - begun
                return
        waiting, is_page_full = self._find_waiting(chosen, obsolete=due.is_full)
        read_seconds = self._scan_seconds + self._monotonic() - begun
        if due.is_full:
            self._begin_scan()
        waiting = [it for it in waiting if not self._schedule.is_cooling(it.id, now)]
        again = False
        if waiting:
            outcome = self._placer.place(waiting, ready, now)
            preempted = self._preemptor.make_room(outcome.unschedulable_premium, ready, now)
            again = outcome.again or preempted > 0 or (is_page_full and outcome.placed > 0)
        self._schedule.finish(due, now, read_seconds=read_seconds, again=again)

    def _scan_is_done(self) -> bool:
        """Look for sessions that wait in one more range of all sessions.

        Returns whether all ranges are done, or so many wait that one query finds enough.
        """
        part = self._scan.current()
        self._found += placing.waiting(part.beyond, part.to)
        return not self._scan.advance(part) or len(self._found) > self._most

    def _begin_scan(self) -> None:
        self._scan.restart()
        self._scan_seconds = 0.0
        self._found = []

    def _found_and(self, ended: Round | None) -> frozenset[int] | None:
        """Return the sessions that the pass has found and those that ended; None: too many."""
        if len(self._found) > self._most:
            return None
        if ended is None:
            return frozenset(self._found)
        return None if ended.sessions is None else ended.sessions.union(self._found)

    def _find_waiting(
        self, chosen: frozenset[int] | None, *, obsolete: bool
    ) -> tuple[list[Unplaced], bool]:
        """Return the sessions that wait, and whether there may be more of them.

        ``chosen`` are those to be considered, None: all. With ``obsolete``, those that no
        longer need a place leave the overflow.
        """
        if obsolete:
            self._placer.remove_obsolete()
        if chosen is not None:
            return placing.unplaced(self._most, sorted(chosen)) if chosen else [], False
        found = {it.id: it for it in placing.unplaced(self._most)}
        is_page_full = len(found) >= self._most
        if is_page_full:
            # These may all be unschedulable: the others are tried in turn.
            more, self._last_in_turn = placing.unplaced_in_turn(self._last_in_turn, self._most)
            found |= {it.id: it for it in more}
        return list(found.values()), is_page_full
