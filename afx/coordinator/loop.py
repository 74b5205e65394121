"""The coordinator's loop: what should be, made so.

One tick, in this order:

1. take in what nodes report, and write it to SQL in one transaction;
2. look at the nodes, find out who has died, and free the sessions of the dead;
3. tell the nodes what operators want of them;
4. stop what should not run;
5. place what should run and does not;
6. move what should be elsewhere.

All decisions are functions of other modules; here they are put into effect.
"""

from __future__ import annotations

import threading
import time
from collections import Counter

import redis
import structlog

from afx.cluster import events, keys, messages, reports
from afx.cluster.connection import connect
from afx.cluster.leadership import Leader
from afx.cluster.registry import LIVE_STATES, Registry, WorkerView
from afx.cluster.reports import Active, Died, Failed, FailureReason, Running, Stopped, Trouble
from afx.cluster.writes import write
from afx.config import Settings
from afx.coordinator.assignments import AssignmentTable
from afx.coordinator.capacity import Capacity
from afx.coordinator.checkpoints import Checkpoints
from afx.coordinator.controls import Controls
from afx.coordinator.coordinator_restart import CoordinatorRestart
from afx.coordinator.decisions import brake, placement
from afx.coordinator.decisions.brake import Brake
from afx.coordinator.decisions.epochs import EpochCounter
from afx.coordinator.failure_detector import FailureDetector
from afx.coordinator.history import History
from afx.coordinator.moves import Moves
from afx.coordinator.orders import Orders
from afx.coordinator.overflow import Overflow
from afx.coordinator.placer import Placer
from afx.coordinator.upkeep import Upkeep
from afx.errors import FencedError, UnreachableError
from afx.security.signing import SigningKeys
from afx.security.vault import Vault
from models.base import DATABASE_ERRORS, reopen_database, transaction
from models.storage import assignments, cluster, controls, placing, sessions
from models.transitions import TransitionError

_PLACE_MOST = 1000
_FULL_RETRY_SECONDS = 1.0
_CONTROL_LOOK_SECONDS = 0.2
_STOP_LOOK_SECONDS = 0.5
_RESEND_SECONDS = 10.0
_RESYNC_SECONDS = 1.0
_FORGET_SECONDS = 60.0

log = structlog.get_logger()


class Coordinator:
    """One coordinator: stands by until it leads, then ticks."""

    def __init__(self, settings: Settings, redis_url: str, vault: Vault) -> None:
        self._settings = settings
        self._redis = connect(redis_url)
        self._raw_redis = connect(redis_url, decode=False)
        self._registry = Registry(self._redis)
        self._signing_keys = SigningKeys(vault.signing_keys())
        self._orders = Orders(self._raw_redis, self._signing_keys, settings.job_ttl_seconds)
        self._leader = Leader(redis_url, settings.leader_ttl_seconds, settings.leader_stop_seconds)
        self._failures = FailureDetector(self._registry, settings.lease)
        self._restart = CoordinatorRestart()
        self._stop = threading.Event()
        self._begins_anew = False
        self._stands_by = False

    def request_stop(self, *_: object) -> None:
        """End after the tick under way."""
        self._stop.set()

    def run(self) -> bool:
        """Lead when possible, stand by otherwise, until told to stop.

        True when an operator wants this coordinator to begin anew.
        """
        try:
            while not self._stop.is_set():
                try:
                    if self._leader.acquire(cluster.term()):
                        self._lead()
                    else:
                        self._stand_by()
                except FencedError:
                    log.warning("leadership_lost", term=self._leader.term)
                except TransitionError as error:
                    # SQL is not as this leader thought: it reads all of it anew.
                    log.error("out_of_step", reason=str(error))
                except redis.RedisError as error:
                    log.warning("redis_unreachable", reason=str(error))
                    self._stop.wait(0.5)
                except (UnreachableError, *DATABASE_ERRORS) as error:
                    log.warning("database_unreachable", reason=str(error).partition("\n")[0])
                    self._stop.wait(1.0)
                    reopen_database()
        finally:
            self._leader.close()
            self._failures.close()
            self._redis.close()
            self._raw_redis.close()
        return self._begins_anew

    def _stand_by(self) -> None:
        if not self._stands_by:
            self._stands_by = True
            log.info("standing_by")
        now = time.monotonic()
        if self._restart.is_due(controls.open_ones(), now, leads=False):
            self._begin_anew()
        self._stop.wait(0.5)

    def _begin_anew(self) -> None:
        log.info("coordinator_begins_anew", term=self._leader.term)
        self._begins_anew = True
        self._stop.set()

    def _lead(self) -> None:
        """Read all that a leader must know, and tick until it leads no more."""
        try:
            known = int(self._redis.get(keys.GENERATION) or 0)
            generation = cluster.begin_generation(self._leader.term, known)
            write(self._redis, {keys.GENERATION: generation}, self._leader.term)
            self._begin(EpochCounter(generation))
            self._stands_by = False
            log.info("leading", term=self._leader.term, generation=generation)
            events.announce(self._redis, "leading", term=self._leader.term)
            while not self._stop.is_set():
                self._leader.check()
                self.tick()
        finally:
            self._leader.resign()

    def _begin(self, epochs: EpochCounter) -> None:
        settings = self._settings
        self._failures.close()
        self._failures = FailureDetector(self._registry, settings.lease)
        self._declared: dict[str, float] = {}
        """incarnation → when it was declared dead."""
        self._capacity = Capacity(settings)
        self._table = AssignmentTable(
            self._redis, self._leader, self._orders, settings.cool_down_seconds
        )
        overflow = Overflow(self._raw_redis, self._signing_keys)
        overflow.read()
        self._placer = Placer(
            settings, self._redis, self._leader, self._table, self._capacity, epochs, overflow
        )
        self._upkeep = Upkeep(settings, self._leader, self._table, self._capacity)
        self._brake = Brake(hold=settings.brake_hold_seconds)
        self._lost_at: dict[str, float] = {}
        """incarnation → when it was found to be dead, without having left."""
        self._moves = Moves(self._leader, self._table, self._placer)
        self._controls = Controls(self._registry, self._table, self._restart, self._leader.term)
        self._history = History(settings, self._redis)
        self._checkpoints = Checkpoints(self._redis, self._leader)
        # Before any spec: a node that finds a spec finds the cursor too.
        self._checkpoints.restore()
        self._table.read()
        self._checkpoints.note(self._table.active)
        self._controls.read()
        self._read = cluster.reports_read()
        self._next_control = self._next_stop = 0.0
        # What the leader before saw end may not have cooled down yet.
        self._next_place = time.monotonic() + settings.cool_down_seconds
        self._turn = 0
        """The session up to which those that wait have had their turn."""
        self._caught_up = False
        self._resync_at = time.monotonic() + _RESYNC_SECONDS

    def tick(self) -> None:
        """Do one round of the loop."""
        self._take_reports()
        nodes = self._registry.all()
        now = time.monotonic()
        dead = self._failures.look(nodes, self._table.counts(), self._leader.term, now)
        self._free_sessions_of(dead, nodes)
        self._leader.check()
        nodes = self._table.count(
            self._registry, (it for it in nodes if it.incarnation not in dead)
        )
        looks = now >= self._next_control
        if looks:
            self._next_control = now + _CONTROL_LOOK_SECONDS
            self._controls.read()
        nodes = self._controls.apply_desired_states(nodes)
        self._look_to_brake(nodes, now)
        self._upkeep.learn(nodes, now)
        if now >= self._next_stop:
            self._next_stop = now + _STOP_LOOK_SECONDS
            self._stop_unwanted(nodes)
            self._remove_unwanted()
        ready = [
            self._capacity.node(it, now)
            for it in nodes
            if it.state == "ready" and self._failures.is_alive(it, now)
        ]
        if brake.is_held(self._brake, now):
            ready = []
        elif self._table.freed or now >= self._next_place:
            self._place_sessions(ready, now)
        if looks:
            self._move_sessions(nodes, ready, now)
        if self._resync_at and now >= self._resync_at:
            self._resync_at = 0.0
            self._resync(nodes, now)
        self._resend_orders(nodes, now)
        if looks and self._caught_up:
            self._renew_silent(nodes, now)
        self._checkpoints.write(now)
        self._history.write(nodes, self._leader.term, now)

    # --- 1: reports ---------------------------------------------------------------

    def _take_reports(self) -> None:
        """Write what nodes reported; waits for the first, at most a tick's time."""
        batch = reports.read(self._redis, self._read, block_seconds=self._settings.tick_seconds)
        self._caught_up = batch.last == self._read
        if self._caught_up:
            return
        self._leader.check()
        reports.quarantine(self._redis, batch.refused)
        found = batch.reports
        running = [it for it in found if isinstance(it, Running) and self._is_current(it)]
        ended = [it for it in found if isinstance(it, Stopped | Failed) and self._is_current(it)]
        failed = [it for it in ended if isinstance(it, Failed)]
        lost = [it for it in failed if it.reason is FailureReason.LOGIN_LOST]
        with transaction():
            cluster.hold(self._leader.term)
            assignments.mark_running([(it.session_id, it.epoch) for it in running])
            placing.clear_trouble([it.session_id for it in running])
            for it in ended:
                assignments.end_many([(it.session_id, it.epoch)], messages.ended(it))
            placing.note_failures([(it.session_id, messages.ended(it)) for it in failed])
            placing.note_lost_logins([(it.session_id, messages.ended(it)) for it in lost])
            cluster.set_reports_read(batch.last)
        self._read = batch.last
        now = time.monotonic()
        for up in running:
            if self._table.active[up.session_id].state == "assigned":
                self._table.set_state(up.session_id, "running")
                self._table.sent_at.pop(up.session_id, None)
        for it in failed:
            self._capacity.note_failure(it.session_id, it.node, now)
            log.warning(
                "session_failed",
                session=it.session_id,
                node=it.node,
                reason=it.reason,
                text=it.text,
            )
        self._table.drop(self._table.active[it.session_id] for it in ended)
        self._checkpoints.note(it.session_id for it in (*running, *ended))
        active: list[int] = []
        for report in found:
            if isinstance(report, Died):
                self._failures.note_witnessed(report.incarnation)
            elif isinstance(report, Active):
                active += report.session_ids
            elif isinstance(report, Trouble):
                fields = {
                    "session": report.session_id,
                    "node": report.node,
                    "reason": report.reason,
                    "text": report.text,
                }
                log.warning("session_trouble", **fields)
                events.announce(self._redis, "trouble", **fields)
        if active:
            with transaction():
                cluster.hold(self._leader.term)
                placing.note_active(active)
            self._checkpoints.note(active)

    def _is_current(self, report: Running | Stopped | Failed) -> bool:
        assignment = self._table.active.get(report.session_id)
        return (
            assignment is not None
            and assignment.epoch == report.epoch
            and assignment.incarnation == report.incarnation
        )

    # --- 2: the dead ---------------------------------------------------------------

    def _free_sessions_of(self, dead: dict[str, str], nodes: list[WorkerView]) -> None:
        if not dead:
            return
        names = {it.incarnation: it.name for it in nodes}
        gone = [it for incarnation in dead for it in self._table.on(incarnation)]
        now = time.monotonic()
        for incarnation, reason in dead.items():
            if incarnation not in self._declared:
                self._declared[incarnation] = now
                count = sum(it.incarnation == incarnation for it in gone)
                name = names.get(incarnation, "")
                if reason not in ("left", "replaced") and self._failures.has_beaten(incarnation):
                    self._lost_at[incarnation] = now
                    self._capacity.note_death(name, now)
                tell = log.info if reason == "left" else log.warning
                tell("node_down", node=name, reason=reason, sessions=count)
                events.announce(
                    self._redis,
                    "node_down",
                    node=name,
                    incarnation=incarnation,
                    reason=reason,
                    sessions=count,
                )
        if gone:
            self._leader.check()
            with transaction():
                cluster.hold(self._leader.term)
                assignments.end_many([(it.session, it.epoch) for it in gone], "its node is down")
            self._table.drop(gone)
            self._checkpoints.note(it.session for it in gone)
        for it in nodes:
            declared = self._declared.get(it.incarnation)
            if declared is not None and now - declared > _FORGET_SECONDS:
                self._registry.forget(it.name, self._leader.term)
                self._orders.forget(it.name, it.incarnation)
                del self._declared[it.incarnation]

    def _look_to_brake(self, nodes: list[WorkerView], now: float) -> None:
        """Hold placement when most nodes were lost at once; then go on slowly."""
        live = sum(it.state in LIVE_STATES for it in nodes)
        before = self._brake
        self._lost_at = brake.lately(before, self._lost_at, now)
        self._brake = brake.braked(self._brake, self._lost_at, live, now)
        self._capacity.rate = brake.rate(self._brake, now)
        if self._brake != before:
            lost = len(self._lost_at)
            log.error("brake", lost=lost, live=live, hold_seconds=self._brake.hold)
            events.announce(self._redis, "brake", lost=lost, live=live)

    # --- 4: what should not run ------------------------------------------------------

    def _stop_unwanted(self, nodes: list[WorkerView]) -> None:
        unwanted = [
            it
            for it in assignments.undesired()
            if it.session in self._table.active and self._table.active[it.session].epoch == it.epoch
        ]
        if not unwanted:
            return
        with transaction():
            cluster.hold(self._leader.term)
            assignments.mark_stopping([(it.session, it.epoch) for it in unwanted])
        for it in unwanted:
            self._table.set_state(it.session, "stopping")
        live = {it.incarnation for it in nodes if it.state in LIVE_STATES}
        chosen = [it for it in unwanted if it.incarnation in live]
        self._table.send("stop", chosen, time.monotonic())

    def _remove_unwanted(self) -> None:
        """Remove the sessions that are to go and that no node runs any more."""
        ids = [it for it in sessions.removable(_PLACE_MOST) if it not in self._table.active]
        if not ids:
            return
        with transaction():
            cluster.hold(self._leader.term)
            sessions.remove_many(ids)
        self._table.freed.difference_update(ids)
        # Their ids are never given again; what Redis still holds is only litter.
        self._redis.delete(
            *(
                it
                for session in ids
                for it in (
                    keys.spec(session),
                    keys.cursor(session),
                    keys.entities(session),
                    keys.assignment(session),
                )
            )
        )

    # --- 5 and 6: placement and moves ---------------------------------------------------

    def _place_sessions(self, ready: list[placement.Node], now: float) -> None:
        """Place what waits: all of it from time to time, else what was just freed."""
        table = self._table
        # Room that has just appeared is for whoever waits, not only for who left it.
        chosen = table.freed | self._placer.waiting()
        only: list[int] | None = sorted(chosen)
        if now >= self._next_place or len(chosen) > _PLACE_MOST:
            only = None
        begun = time.monotonic()
        found = {it.id: it for it in placing.unplaced(_PLACE_MOST, only)}
        many = len(found) >= _PLACE_MOST
        if only is None:
            self._placer.tidy_overflow()
            if many:
                # Should these fit nowhere, others have their turn all the same.
                more, self._turn = placing.unplaced_in_turn(self._turn, _PLACE_MOST)
                found |= {it.id: it for it in more}
            # A look at a hundred thousand sessions takes its time: not too often.
            took = time.monotonic() - begun
            self._next_place = now + max(_FULL_RETRY_SECONDS, 10 * took)
        table.freed.clear()
        table.cooling = {k: v for k, v in table.cooling.items() if v > now}
        soon = bool(table.cooling)
        waiting = [it for it in found.values() if it.id not in table.cooling]
        if waiting:
            outcome = self._placer.place(waiting, ready, now)
            soon |= outcome.again or (many and outcome.placed > 0)
            soon |= self._upkeep.make_room(outcome.premium_full, ready, now) > 0
        if soon:
            self._next_place = now + self._settings.tick_seconds

    def _move_sessions(
        self, nodes: list[WorkerView], ready: list[placement.Node], now: float
    ) -> None:
        asked = self._upkeep.even_out(nodes, now) | self._controls.asked_moves()
        news = self._moves.step(asked, nodes, ready, now)
        if self._controls.advance(nodes, self._placer.room_kept(), news, now):
            self._begin_anew()

    def _resync(self, nodes: list[WorkerView], now: float) -> None:
        """Ask the nodes what they run, once for each leader.

        Reports may have been lost with Redis, or with the leader before. A node
        that is told to start what it runs says so; what it runs no more it
        starts again. The specs for that may be lost as well.
        """
        live = {it.incarnation for it in nodes if it.state in LIVE_STATES}
        held = [
            it
            for it in self._table.active.values()
            if it.state in ("assigned", "running") and it.incarnation in live
        ]
        self._placer.publish_specs([it.session for it in held])
        self._table.send("start", held, now)
        log.info("resynchronised", sessions=len(held))

    def _resend_orders(self, nodes: list[WorkerView], now: float) -> None:
        """Give orders again that a live node has not answered for long.

        Nodes know what they run: a repeated order only makes them say so.
        """
        live = {it.incarnation for it in nodes if it.state in LIVE_STATES}
        for state, kind in (("assigned", "start"), ("stopping", "stop")):
            late = self._table.late(state, live, now, _RESEND_SECONDS)
            if late:
                self._table.send(kind, late, now)

    def _renew_silent(self, nodes: list[WorkerView], now: float) -> None:
        """Let a node begin anew that beats, and does not do what it was ordered to."""
        live = {it.incarnation for it in nodes if it.state in LIVE_STATES}
        # What is on its way up may take its time, and will tell.
        idle = {it.incarnation for it in nodes if not it.metrics.starting} & live
        seconds = self._settings.answer_seconds
        late = [
            *self._table.unanswered("stopping", live, now, seconds),
            *self._table.unanswered("assigned", idle, now, seconds),
        ]
        if late:
            silent = Counter(it.incarnation for it in late)
            self._controls.restart_unresponsive(silent, nodes, now)
