"""Puts a plan into effect: reserves in Redis, writes to SQL, then orders starts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import peewee
import redis
import structlog

from afx.cluster import keys, specs
from afx.cluster.leadership import Leader
from afx.cluster.scripts import source
from afx.cluster.specs import RuleSpec, SessionSpec
from afx.config import Settings
from afx.coordinator.assignments import AssignmentTable
from afx.coordinator.capacity import Capacity
from afx.coordinator.decisions import fairness, placement
from afx.coordinator.decisions.epochs import EpochCounter
from afx.coordinator.decisions.fairness import Waiter
from afx.coordinator.overflow import Overflow
from afx.coordinator.wire import place_item, reserve_item
from models.base import transaction
from models.storage import assignments, cluster, placing, queue, rules
from models.storage.assignments import Active
from models.storage.placing import Unplaced

_COMMIT_MOST = 25
"""Places in one call: Redis serves nobody else meanwhile, so a call is short."""
_SPECS_MOST = 500
log = structlog.get_logger()


@dataclass(slots=True, frozen=True)
class Outcome:
    """What came of a round of placement."""

    again: bool
    """Something is left that may fit soon."""
    placed: int = 0
    premium_full: tuple[placement.PlacementRequest, ...] = ()
    """Premium sessions that fit nowhere."""


class Placer:
    """Gives sessions to nodes, and reserves room for those on the move."""

    def __init__(
        self,
        settings: Settings,
        client: redis.Redis,
        leader: Leader,
        table: AssignmentTable,
        capacity: Capacity,
        epochs: EpochCounter,
        overflow: Overflow,
    ) -> None:
        self._settings = settings
        self._redis = client
        self._leader = leader
        self._table = table
        self._capacity = capacity
        self._epochs = epochs
        self._overflow = overflow
        self._premium_run = 0
        """Grants in a row that went to premium sessions."""
        self._place = client.register_script(source("place"))
        self._unreserve = client.register_script(source("unreserve"))
        self._reserved: dict[int, placement.Placement] = {}
        """Sessions on the move, and the room that is kept for them."""

    def place(
        self, waiting: Sequence[Unplaced], ready: Sequence[placement.Node], now: float
    ) -> Outcome:
        """Place what waits, in fair order; what fits nowhere goes to the overflow."""
        by_id = {it.id: it for it in waiting}
        homes = {it.incarnation for it in ready}
        kept = [
            held
            for it in waiting
            if (held := self._reserved.get(it.id)) and held.incarnation in homes
        ]
        moving = {it.session for it in kept}
        order = fairness.fair_order(
            [Waiter(it.id, it.tier == "premium", it.waited) for it in waiting], self._premium_run
        )
        wishes = {it: self._capacity.wish(by_id[it], now) for it in order if it not in moving}
        plan = placement.plan(list(wishes.values()), ready)
        wanted = [*kept, *plan.placed]
        placed, refused = self._reserve_places(wanted, by_id)
        reason = "all nodes are full" if ready else "there is no ready node"
        full = dict.fromkeys((*plan.full, *refused), reason)
        for it in plan.unmatched:
            full[it] = "no ready node has " + ", ".join(sorted(by_id[it].requires))
        if not self._record(placed, full, by_id):
            return Outcome(again=True)
        self.give_room_back(
            it
            for it, active in placed.items()
            if it in self._reserved and self._reserved[it].incarnation != active.incarnation
        )
        for session in placed:
            self._reserved.pop(session, None)
        self._start(placed, now)
        self._overflow.remove(placed)
        self._overflow.put((it, by_id[it].tier, why) for it, why in full.items())
        self._premium_run = fairness.run_after(
            self._premium_run, [by_id[it].tier == "premium" for it in order if it in placed]
        )
        return Outcome(
            again=bool(plan.later) or len(placed) < len(wanted),
            placed=len(placed),
            premium_full=tuple(wishes[it] for it in plan.full if wishes[it].premium),
        )

    def publish_specs(self, sessions: Sequence[int]) -> None:
        """Write to Redis what nodes need to start these sessions."""
        for start in range(0, len(sessions), _SPECS_MOST):
            part = sessions[start : start + _SPECS_MOST]
            their_rules = rules.for_sessions(part)
            specs.publish(
                self._redis,
                (
                    SessionSpec(
                        it.id,
                        it.name,
                        it.tier,
                        it.login,
                        tuple(
                            RuleSpec(
                                rule.id, tuple(rule.sources), tuple(rule.destinations), rule.mode
                            )
                            for rule in their_rules.get(it.id, ())
                        ),
                    )
                    for it in placing.logins(part)
                ),
                self._leader.term,
            )

    def keep_room(self, wanted: Sequence[placement.Placement]) -> set[int]:
        """Reserve room for sessions that are about to move; returns which fit."""
        premium = {
            k for k, it in placing.traits([it.session for it in wanted]).items() if it.premium
        }
        items = [
            reserve_item(
                it,
                self._capacity.headroom,
                self._settings.ram_headroom_share,
                0.0 if it.session in premium else self._settings.premium_headroom_share,
            )
            for it in wanted
        ]
        answers = self._call(items)
        held = {it.session for it, said in zip(wanted, answers, strict=True) if said == "OK"}
        self._reserved |= {it.session: it for it in wanted if it.session in held}
        return held

    def give_room_back(self, sessions: Iterable[int]) -> None:
        """Free the room of sessions that do not move after all."""
        gone = [held for it in sessions if (held := self._reserved.pop(it, None))]
        if gone:
            self._unreserve(
                keys=[keys.TERM],
                args=[self._leader.term, *(reserve_item(it, 0, 0.0) for it in gone)],
            )

    def wishes(self, sessions: Sequence[int]) -> dict[int, placement.PlacementRequest]:
        """Return sessions that are to move as placement sees them."""
        return {
            session: placement.PlacementRequest(
                session,
                self._capacity.cost(it.premium, it.active),
                premium=it.premium,
                requires=it.requires,
            )
            for session, it in placing.traits(sessions).items()
        }

    def tidy_overflow(self) -> None:
        """Let those go who wait and want no place any more: paused, or removed."""
        overtaken = queue.overtaken()
        if overtaken:
            self._leader.check()
            with transaction():
                cluster.hold(self._leader.term)
                queue.remove_many(overtaken)
        self._overflow.remove(self._overflow.held() - queue.ids())

    def waiting(self) -> set[int]:
        """Return the sessions in the overflow."""
        return self._overflow.held()

    def room_kept(self) -> dict[int, placement.Placement]:
        """Return the sessions on the move and where they go."""
        return self._reserved

    def _reserve_places(
        self, wanted: Sequence[placement.Placement], by_id: dict[int, Unplaced]
    ) -> tuple[dict[int, Active], list[int]]:
        """Reserve the plan's places in Redis; returns those that held, and who had no room.

        What is neither is to be looked at again: its node has changed meanwhile.
        """
        actives = [
            Active(
                it.session,
                it.node,
                it.incarnation,
                self._epochs.take(),
                "assigned",
                by_id[it.session].revision,
            )
            for it in wanted
        ]
        items = [
            place_item(active, it.bytes, self._capacity.headroom, self._settings.ram_headroom_share)
            for it, active in zip(wanted, actives, strict=True)
        ]
        said = dict(zip((it.session for it in actives), self._call(items), strict=True))
        placed = {it.session: it for it in actives if said[it.session] == "OK"}
        return placed, [session for session, answer in said.items() if answer == "NOFIT"]

    def _call(self, items: Sequence[str]) -> list[str]:
        answers: list[str] = []
        for start in range(0, len(items), _COMMIT_MOST):
            self._leader.check()
            part = items[start : start + _COMMIT_MOST]
            answers += self._place(keys=[keys.TERM], args=[self._leader.term, *part])
        return answers

    def _record(
        self, placed: dict[int, Active], full: dict[int, str], by_id: dict[int, Unplaced]
    ) -> bool:
        """Write the plan to SQL, before any node hears of it.

        False when a session was removed meanwhile: then none of it holds.
        """
        self._leader.check()
        try:
            with transaction():
                cluster.hold(self._leader.term)
                assignments.create_many(placed.values())
                queue.remove_many([it for it in placed if by_id[it].queued])
                queue.put_many(list(full.items()))
        except peewee.IntegrityError as error:
            log.warning("placement_given_up", reason=str(error).partition("\n")[0])
            self._table.drop(placed.values())
            return False
        except BaseException:
            self._table.drop(placed.values())
            raise
        self._table.add(placed)
        return True

    def _start(self, placed: dict[int, Active], now: float) -> None:
        if not placed:
            return
        self.publish_specs(list(placed))
        self._table.send("start", placed.values(), now)
        for it in placed.values():
            self._capacity.note_start(it.incarnation)
