"""A coordinator: it leads or stands by; its decisions are the real ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import replace

from simulation.clock import Clock
from simulation.conditions import Conditions
from simulation.judge import Judge
from simulation.node import Node, Order
from simulation.redis import Assignment, Record, Redis, Sql

from afx import lease
from afx.coordinator.decisions import liveness, placement
from afx.coordinator.decisions.epochs import EpochCounter
from afx.coordinator.decisions.fairness import Waiter, fair_order

PROFILE = lease.PROFILES["fast"]
TICK, LEASE, STOP_LEADING_AFTER = 0.2, 5.0, 3.0
COOL_DOWN = 0.2
SERVER_CHECK = 1.0
"""A leader checks so often whether Redis is still the same server."""
MAX_PLACED = 5_000
"""Sessions of one round of placement."""


class Coordinator:
    """One process that may lead; what it reads of SQL is stale once another leads."""

    def __init__(
        self,
        name: str,
        *,
        clock: Clock,
        conditions: Conditions,
        redis: Redis,
        sql: Sql,
        nodes: Mapping[str, Node],
        witnessed_deaths: Set[str],
        judge: Judge,
        capacity: int,
    ) -> None:
        self.name = name
        self.paused_until = 0.0
        self._clock = clock
        self._conditions = conditions
        self._random = conditions.random
        self._redis = redis
        self._sql = sql
        self._nodes = nodes
        self._witnessed_deaths = witnessed_deaths
        self._judge = judge
        self._capacity = capacity
        self._term = 0
        self._leads_until = -1.0
        self._server = 0
        """The Redis server on which it was elected."""
        self._server_checked_at = -9.0
        self._sightings: dict[str, liveness.Sighting] = {}
        self._fenced_at: dict[str, float] = {}
        self._epochs = EpochCounter(0)
        self._targets: dict[int, str] = {}
        """Session that moves → the node that it moves to."""
        self._active: dict[int, Assignment] = {}
        self._waiting: dict[int, float] = {}
        self._reports_read = 0

    def tick(self) -> None:
        """Lead, if it can: read the records now, act on them now or after a pause."""
        now = self._clock.now
        if self.paused_until > now:
            self._clock.after(self.paused_until - now, self.tick)
            return
        self._clock.after(TICK, self.tick)
        if self._conditions.stalled_until > now or not self._lead():
            return
        # A pause may come between what is read and what follows from it.
        if self._random.random() < self._conditions.faults.leader_pause:
            self.paused_until = now + self._random.uniform(0.5, 8.0)
        records = self._redis.snapshot()
        self._clock.after(max(0.0, self.paused_until - now), lambda: self._act(records))

    # --- leadership ----------------------------------------------------------------

    def _lead(self) -> bool:
        """Win or renew the leadership; a new term starts when it was lost in between."""
        redis, now = self._redis, self._clock.now
        leads = redis.leader and redis.leader[1] > now
        if leads and redis.leader and redis.leader[0] != self.name:
            return False
        is_new = not leads
        if now - self._server_checked_at >= SERVER_CHECK:
            self._server_checked_at = now
            is_new |= self._server != redis.server
        redis.leader = (self.name, now + LEASE)
        if is_new or self._leads_until < now:
            self._begin_term()
        self._leads_until = now + STOP_LEADING_AFTER
        return True

    def _begin_term(self) -> None:
        redis, sql = self._redis, self._sql
        self._term = redis.term = sql.term = max(redis.term, sql.term) + 1
        sql.generation += 1
        self._epochs = EpochCounter(sql.generation)
        self._server = redis.server
        self._sightings, self._fenced_at, self._targets = {}, {}, {}
        self._active = {session: replace(it) for session, it in sql.active.items()}
        self._waiting = dict(sql.waiting)
        self._reports_read = redis.reports_read

    def _is_fenced(self) -> bool:
        """Return whether its writes are refused, by its own clock or by its term."""
        if self._conditions.omitted.stale_term_accepted:
            return False
        if self._leads_until <= self._clock.now:
            return True
        return self._term != self._redis.term or self._term != self._sql.term

    # --- one tick ------------------------------------------------------------------

    def _act(self, records: dict[str, Record]) -> None:
        if self._is_fenced():
            return
        seen = [(it.incarnation, it.seq) for it in records.values()]
        self._sightings = liveness.observe(self._sightings, seen, self._clock.now)
        self._take_reports()
        known = {it.incarnation for it in records.values()}
        owners = {it.incarnation for it in self._active.values()}
        self._reconcile_loads(records)
        for name, record in records.items():
            self._judge_node(name, record, owners)
        for incarnation in sorted(owners - known):
            since = self._fenced_at.setdefault(incarnation, self._clock.now)
            waited = self._clock.now - since >= PROFILE.takeover
            if waited or self._conditions.omitted.missing_record_is_death:
                self._free(incarnation)
        self._place(records)
        self._move(records)

    def _judge_node(self, name: str, record: Record, owners: set[str]) -> None:
        """Fence a silent node; free the sessions of one that is surely dead."""
        now, incarnation = self._clock.now, record.incarnation
        sighting = self._sightings[incarnation]
        current = self._redis.of(name, incarnation)
        if incarnation in self._witnessed_deaths:
            if current:
                current.state = "fenced"
            self._free(incarnation)
        elif record.state == "ready" and liveness.health(sighting, now, PROFILE) == "silent":
            # Compare and set: a heartbeat since the snapshot has renewed the lease.
            if current and current.seq == sighting.seq:
                current.state = "fenced"
                self._fenced_at[incarnation] = now
        elif record.state == "fenced":
            fenced_at = self._fenced_at.setdefault(incarnation, now)
            delay = 0.0 if self._conditions.omitted.no_lock_delay else PROFILE.lock_delay
            if now - fenced_at >= delay and incarnation in owners:
                self._free(incarnation)

    def _reconcile_loads(self, records: dict[str, Record]) -> None:
        """Correct loads in Redis that this leader has not reconciled yet."""
        if self._conditions.omitted.loads_not_reconciled:
            return
        counts = Counter(it.incarnation for it in self._active.values())
        for name in records:
            record = self._redis.records.get(name)
            if record is None:
                continue
            known = counts[record.incarnation]
            if record.reconciled_term != self._term or record.assigned < known:
                record.reconciled_term, record.assigned = self._term, known

    def _take_reports(self) -> None:
        redis = self._redis
        fresh, self._reports_read = redis.reports[self._reports_read :], len(redis.reports)
        redis.reports_read = max(redis.reports_read, self._reports_read)
        for kind, session, epoch, incarnation in fresh:
            active = self._active.get(session)
            if active is None or (active.epoch, active.incarnation) != (epoch, incarnation):
                continue
            if kind == "running" and active.state == "assigned":
                self._set_state(session, "running")
            elif kind == "stopped":
                self._end(session)
        for session, active in self._active.items():
            # An order that was lost is given again: nodes know what they run. A new
            # leader also asks for what it takes for running: so some of that, too.
            chance = 0.002 if active.state == "running" else 0.05
            if self._random.random() < chance:
                kind = "stop" if active.state == "stopping" else "start"
                self._order(kind, session, active.epoch, active.incarnation)

    # --- assignments -----------------------------------------------------------------

    def _free(self, incarnation: str) -> None:
        for session, active in list(self._active.items()):
            if active.incarnation == incarnation:
                self._judge.takeovers += 1
                self._end(session)

    def _set_state(self, session: int, state: str) -> None:
        active = self._active[session]
        active.state = state
        stored = self._sql.active.get(session)
        if stored and stored.epoch == active.epoch:
            stored.state = state

    def _end(self, session: int) -> None:
        now = self._clock.now
        active = self._active.pop(session)
        self._waiting[session] = now
        stored = self._sql.active.get(session)
        if stored is None or stored.epoch != active.epoch:
            return
        del self._sql.active[session]
        self._judge.end(active.incarnation)
        if record := self._redis.of(active.node, active.incarnation):
            record.assigned -= 1
        self._sql.waiting[session] = now

    def _place(self, records: dict[str, Record]) -> None:
        now, capacity = self._clock.now, self._capacity
        ready = [
            placement.Node(
                name, it.incarnation, 1 << 30, 1 << 30, 0.0, current.assigned, capacity, 40
            )
            for name, it in records.items()
            if (current := self._redis.of(name, it.incarnation))
            and it.state == current.state == "ready"
            and liveness.health(self._sightings[it.incarnation], now, PROFILE) == "alive"
        ]
        rest = 0.0 if self._conditions.omitted.no_cool_down else COOL_DOWN
        order = fair_order(
            [
                Waiter(session, session % 4 == 0, now - since)
                for session, since in self._waiting.items()
                if not since or now - since >= rest
            ]
        )
        requests = [placement.PlacementRequest(session, 1) for session in order[:MAX_PLACED]]
        for made in placement.plan(requests, ready).placed:
            target = self._targets.pop(made.session, "")
            has_room = any(it.name == target and it.sessions < capacity for it in ready)
            self._assign(made.session, target if has_room else made.node)

    def _assign(self, session: int, name: str) -> None:
        record, omitted = self._redis.records[name], self._conditions.omitted
        if record.assigned >= self._capacity or record.state != "ready":
            return
        if record.reconciled_term != self._term and not omitted.loads_not_reconciled:
            return
        epoch = self._epochs.take()
        record.assigned += 1
        if session in self._sql.active and not omitted.stale_term_accepted:
            self._judge.active_twice(session)
        stored = Assignment(name, record.incarnation, epoch, "assigned")
        self._sql.active[session] = stored
        self._active[session] = replace(stored)
        del self._waiting[session]
        self._sql.waiting.pop(session, None)
        self._judge.place(name, record.incarnation)
        self._order("start", session, epoch, record.incarnation)

    def _move(self, records: dict[str, Record]) -> None:
        """Move a session now and then: STOP, acknowledgement, START."""
        if self._random.random() >= self._conditions.faults.move or not self._active:
            return
        session = self._random.choice(sorted(self._active))
        active = self._active[session]
        others = [
            name for name, it in records.items() if name != active.node and it.state == "ready"
        ]
        if active.state != "running" or not others:
            return
        self._set_state(session, "stopping")
        self._judge.moves += 1
        target = self._random.choice(others)
        self._targets[session] = target
        self._order("stop", session, active.epoch, active.incarnation)
        if self._conditions.omitted.start_without_ack:
            self._end(session)
            self._assign(session, target)

    def _order(self, kind: str, session: int, epoch: int, incarnation: str) -> None:
        """Send an order to a node: it may arrive late, twice, or not at all."""
        if self._conditions.loses_message():
            return
        node = self._nodes[incarnation.partition("#")[0]]
        order = Order(kind, self._term, session, epoch, incarnation)
        for _ in range(self._conditions.copies()):
            self._clock.after(self._conditions.delay(), lambda: node.obey(order))
