"""Room that is reserved on nodes for sessions that are to move there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import redis

from afx.cluster.leadership import Leadership
from afx.cluster.scripts import FencedScript
from afx.coordinator.decisions.placement import Placement
from afx.coordinator.wire import Headroom, reserve_item, unreserve_item
from models.storage.assignments import Active

_UNUSED_SECONDS = 30.0


class Reservations:
    """The reservations of one term; what an earlier leader reserved is reconciled away.

    A reservation is used when its session is placed on that node.
    """

    def __init__(
        self,
        client: redis.Redis,
        leadership: Leadership,
        *,
        headroom: Headroom,
        premium_share: float,
    ) -> None:
        """``premium_share`` of a node's RAM is for premium users' sessions only."""
        self._leadership = leadership
        self._headroom = headroom
        self._premium_share = premium_share
        self._reserve = FencedScript(client, "reserve")
        self._unreserve = FencedScript(client, "unreserve")
        self._placements: dict[int, Placement] = {}
        self._unused_since: dict[int, float] = {}

    @property
    def placements(self) -> Mapping[int, Placement]:
        """The sessions on the move, and where room is reserved for them."""
        return self._placements

    def reserve(self, moves: Sequence[Placement], premium: Collection[int]) -> set[int]:
        """Reserve room for sessions that are to move; returns those that got it.

        ``premium`` are the premium users' sessions among them.
        """
        if not moves:
            return set()
        self._leadership.check()
        items = [
            reserve_item(it, self._headroom, 0.0 if it.session in premium else self._premium_share)
            for it in moves
        ]
        answers = self._reserve(self._leadership.term, args=items)
        reserved = {
            it.session: it for it, answer in zip(moves, answers, strict=True) if answer == "OK"
        }
        self._placements |= reserved
        return set(reserved)

    def settle(self, placed: Mapping[int, str]) -> None:
        """Note that sessions were placed, given as session → incarnation.

        A reservation on that node is used; one on another node is cancelled.
        """
        self.cancel(
            session
            for session, incarnation in placed.items()
            if session in self._placements and self._placements[session].incarnation != incarnation
        )
        for session in placed:
            self._placements.pop(session, None)

    def cancel(self, sessions: Iterable[int]) -> None:
        """Give back the room of sessions that do not move after all."""
        cancelled = [it for session in sessions if (it := self._placements.pop(session, None))]
        if cancelled:
            self._unreserve(self._leadership.term, args=[unreserve_item(it) for it in cancelled])

    def cancel_unused(self, active: Mapping[int, Active], now: float) -> None:
        """Give back the room of sessions that have run nowhere for some time.

        They were paused or removed during the move. ``active`` is session → its
        assignment.
        """
        self.settle(
            {
                session: place.incarnation
                for session, place in self._placements.items()
                if session in active and active[session].incarnation == place.incarnation
            }
        )
        unused = [it for it in self._placements if it not in active]
        self._unused_since = {it: self._unused_since.get(it, now) for it in unused}
        self.cancel(
            [it for it, since in self._unused_since.items() if now - since > _UNUSED_SECONDS]
        )
