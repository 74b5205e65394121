"""A cluster under a virtual clock: the protocol's decisions, and all that may go wrong.

The decisions are the real ones (``lease``, ``failure``, ``epochs``, ``placement``,
``fairness``); Redis, SQL, Telegram, nodes and coordinators are models of a few
lines each. What Telegram sees is the judge: a session that two incarnations use
at once is a violation, and so is an epoch that falls, or a node beyond its
capacity. ``Faults`` says what goes wrong, ``Broken`` leaves a rule out on purpose.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from simulation.parts import Assigned, Broken, Coordinator, Faults, Node, Record

from afx import lease
from afx.coordinator.decisions import liveness, placement
from afx.coordinator.decisions.epochs import EpochCounter
from afx.coordinator.decisions.fairness import Waiter, fair_order

PROFILE = lease.PROFILES["fast"]
BEAT, TICK, LEAD, LEAD_STOP = 0.5, 0.2, 5.0, 3.0
IN_FLIGHT = PROFILE.in_flight
"""A write may reach Telegram so long after it was made (TCP_USER_TIMEOUT).

The lock delay is there for it: without drift, takeover comes L_leader + G − L_node
= 2 s after a node's last write at the earliest.
"""
ON_ITS_WAY = 0.15
"""The same for a socket that was closed: nothing is sent again (SO_LINGER 0)."""
COOL_DOWN = 0.2
RENEW = 1.0
"""A leader renews its leadership so often, and looks at which Redis it is."""
MOST_BEHIND = 5
PLACE_MOST = 5_000
"""Sessions of one round of placement: a leader looks at so many at a time."""


class World:
    """All of it; ``violations`` is empty when the protocol held."""

    def __init__(
        self,
        seed: int,
        *,
        nodes: int = 4,
        sessions: int = 12,
        capacity: int = 8,
        coordinators: int = 2,
        faults: Faults | None = None,
        broken: Broken | None = None,
        write_gap: float = 0.4,
    ) -> None:
        self.random = random.Random(seed)
        self.faults, self.broken = faults or Faults(), broken or Broken()
        self.now = 0.0
        self.capacity = capacity
        self._write_gap = write_gap
        self.violations: list[str] = []
        self.placements = self.takeovers = self.moves = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._stalled_until = 0.0
        drift = self.faults.drift
        self.nodes = {
            f"w{n}": Node(f"w{n}", 1 + self.random.uniform(-drift, drift)) for n in range(nodes)
        }
        # Redis
        self.records: dict[str, Record] = {}
        self.redis_term = 0
        self.leader: tuple[str, float] | None = None
        self.reports: list[tuple[str, int, int, str]] = []
        self.reports_read = 0
        self.server = 0
        self._past: list[tuple[dict[str, Record], int, tuple[str, float] | None, int]] = []
        """What a replica may have heard of, by half seconds: it may lag behind."""
        # SQL
        self.sql_term = self.generation = 0
        self.active: dict[int, Assigned] = {}
        self.waiting: dict[int, float] = dict.fromkeys(range(sessions), 0.0)
        self._load: Counter[str] = Counter()
        """How many active assignments each incarnation has, whatever Redis says."""
        self._highest = dict.fromkeys(range(sessions), 0)
        # Telegram: session → (incarnation, until when it is heard)
        self._heard: dict[int, tuple[str, float]] = {}
        self._witnessed: set[str] = set()
        """Incarnations whose processes were seen to die."""
        for node in self.nodes.values():
            self._boot(node)
        for number in range(coordinators):
            it = Coordinator(f"c{number}")
            self.at(self.random.random(), lambda it=it: self._tick(it))
        self.at(0.5, self._mischief)

    # --- time and messages --------------------------------------------------------------

    def at(self, delay: float, act: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now + delay, self._count, act))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._events and self._events[0][0] <= end and len(self.violations) < 5:
            self.now, _, act = heapq.heappop(self._events)
            act()
        self.now = end

    def _delay(self) -> float:
        chance = self.random.random()
        wait = max(0.0, self._stalled_until - self.now)
        if chance < self.faults.late:
            return wait + self.random.uniform(0.2, 2.5)
        return wait + self.random.uniform(0.0005, 0.01)

    def _lost(self) -> bool:
        return self.random.random() < self.faults.lose

    # --- nodes ---------------------------------------------------------------------------

    def _clock(self, node: Node) -> float:
        return self.now * node.rate

    def _may_write(self, node: Node) -> bool:
        return not node.dead and self._clock(node) < node.deadline

    def _awake(self, node: Node, act: Callable[[], None]) -> bool:
        """Whether a node can act now; else it does when its pause is over."""
        if node.paused_until > self.now:
            self.at(node.paused_until - self.now + 1e-6, act)
            return False
        return True

    def _boot(self, node: Node) -> None:
        node.number += 1
        node.incarnation = f"{node.name}#{node.number}"
        node.dead = False
        node.deadline = -1.0
        node.epochs, node.running = {}, {}
        self._register(node, node.incarnation)

    def _register(self, node: Node, incarnation: str) -> None:
        if node.incarnation != incarnation or node.dead:
            return
        if not self._awake(node, lambda: self._register(node, incarnation)):
            return
        if node.deadline >= 0:
            return
        sent = self._clock(node)
        node.tries += 1
        number = node.tries
        self.at(PROFILE.node, lambda: self._unanswered(node, number))
        if node.cut_until > self.now or self._lost():
            return

        def arrive() -> None:
            ok = self._enter(node.name, incarnation)
            if node.cut_until > self.now or self._lost():
                return
            self.at(self._delay(), lambda: answer(ok))

        def answer(ok: bool | None) -> None:
            if node.tries != number or node.dead or node.deadline >= 0:
                return
            if not self._awake(node, lambda: answer(ok)):
                return
            if ok is None:
                node.tries += 1  # it has been answered
                self.at(BEAT, lambda: self._register(node, incarnation))
            elif not ok:
                self._end(node)
            else:
                node.deadline = sent + PROFILE.node
                self._beat(node, incarnation)

        for _ in range(2 if self.random.random() < self.faults.doubled else 1):
            self.at(self._delay(), arrive)

    def _unanswered(self, node: Node, number: int) -> None:
        """A registration that got no answer may have been one: it is not tried again."""
        if node.tries != number or node.dead or node.deadline >= 0:
            return
        if not self._awake(node, lambda: self._unanswered(node, number)):
            return
        if self.broken.unsure_tries_again:
            self._register(node, node.incarnation)
        else:
            self._end(node)

    def _enter(self, name: str, incarnation: str) -> bool | None:
        """Register in Redis; None when the name is taken, False for who is over."""
        held = self.records.get(name)
        if held and held.state == "ready":
            if held.incarnation != incarnation:
                return None
            held.seq += 1
            return True
        if held and held.incarnation == incarnation:
            return False
        self.records[name] = Record(incarnation)
        return True

    def _beat(self, node: Node, incarnation: str) -> None:
        if node.incarnation != incarnation or node.dead:
            return
        if not self._awake(node, lambda: self._beat(node, incarnation)):
            return
        if self._clock(node) >= node.deadline:
            self._end(node)
            return
        self.at(BEAT, lambda: self._beat(node, incarnation))
        sent = self._clock(node)
        if node.cut_until > self.now or self._lost():
            return

        def arrive() -> None:
            held = self.records.get(node.name)
            ok = held and held.incarnation == incarnation and held.state == "ready"
            if ok and held is not None:
                held.seq += 1
            if node.cut_until > self.now or self._lost():
                return
            self.at(self._delay(), lambda: answer(ok))

        def answer(ok: bool | None) -> None:
            if node.incarnation != incarnation or node.dead:
                return
            if not self._awake(node, lambda: answer(ok)):
                return
            if ok is None:
                self._register_again(node, incarnation)
                return
            if not ok:
                self._end(node)
                return
            base = self._clock(node) if self.broken.deadline_from_reply else sent
            if self._clock(node) < node.deadline:
                node.deadline = max(node.deadline, base + PROFILE.node)

        self.at(self._delay(), arrive)

    def _register_again(self, node: Node, incarnation: str) -> None:
        """Redis has lost the node, which keeps its sessions if its lease lasts."""
        sent = self._clock(node)
        if node.cut_until > self.now or self._lost():
            return

        def arrive() -> None:
            ok = self._enter(node.name, incarnation)
            if ok and node.cut_until <= self.now and not self._lost():
                self.at(self._delay(), answer)

        def answer() -> None:
            if node.incarnation != incarnation or node.dead:
                return
            if self._awake(node, answer) and self._clock(node) < node.deadline:
                node.deadline = max(node.deadline, sent + PROFILE.node)

        self.at(self._delay(), arrive)

    def _end(self, node: Node) -> None:
        """The incarnation ends: its lease is over, or it was fenced."""
        node.running.clear()
        node.dead = True
        self.at(0.5, lambda: self._boot(node))

    def _order(self, kind: str, term: int, session: int, epoch: int, incarnation: str) -> None:
        """Send an order to a node: it may come late, twice, or not at all."""
        if self._lost():
            return
        for _ in range(2 if self.random.random() < self.faults.doubled else 1):
            self.at(self._delay(), lambda: self._obey(kind, term, session, epoch, incarnation))

    def _obey(self, kind: str, term: int, session: int, epoch: int, incarnation: str) -> None:
        node = self.nodes[incarnation.partition("#")[0]]
        if node.incarnation != incarnation or node.dead:
            return
        if node.deadline < 0:
            # Orders wait for a node that does not know yet that it is registered.
            self.at(0.1, lambda: self._obey(kind, term, session, epoch, incarnation))
            return
        if node.cut_until > self.now:
            return
        if not self._awake(node, lambda: self._obey(kind, term, session, epoch, incarnation)):
            return
        if term < node.term and not self.broken.stale_term_accepted:
            return
        node.term = max(node.term, term)
        if kind == "stop":
            node.epochs[session] = max(epoch, node.epochs.get(session, 0))
            self.at(self.random.uniform(0.01, 0.3), lambda: self._stopped(node, session, epoch))
            return
        if epoch < node.epochs.get(session, 0) or not self._may_write(node):
            return
        if session in node.running:
            if node.running[session] == epoch:
                self._report("running", session, epoch, incarnation)
            return
        if node.epochs.get(session) == epoch and not self.broken.ended_starts_again:
            # It has ended under this epoch, or was told to stop before it began.
            self._report("stopped", session, epoch, incarnation)
            return
        node.epochs[session] = epoch
        node.running[session] = epoch
        self.at(
            self.random.uniform(0.01, 0.4),
            lambda: self._report("running", session, epoch, incarnation),
        )
        self._write(node, session, epoch, incarnation)

    def _stopped(self, node: Node, session: int, epoch: int) -> None:
        if node.dead or not self._awake(node, lambda: self._stopped(node, session, epoch)):
            return
        incarnation = node.incarnation
        if node.running.get(session, 0) <= epoch:
            node.running.pop(session, None)
        if session not in node.running:
            self._close(session, incarnation)
        self._report("stopped", session, epoch, incarnation)

    def _close(self, session: int, incarnation: str) -> None:
        """A connection is closed, by its session or by the kernel of a dead process."""
        held = self._heard.get(session)
        if held is None or held[0] != incarnation:
            return
        if self.broken.data_outlives_its_process:
            until = self.now + self.random.uniform(0, IN_FLIGHT)
        else:
            until = min(held[1], self.now + self.random.uniform(0, ON_ITS_WAY))
        self._heard[session] = (incarnation, until)

    def _write(self, node: Node, session: int, epoch: int, incarnation: str) -> None:
        """A running session uses its connection, again and again."""
        if node.incarnation != incarnation or node.running.get(session) != epoch:
            return
        if not self._awake(node, lambda: self._write(node, session, epoch, incarnation)):
            return
        if not self._may_write(node):
            return
        held = self._heard.get(session)
        if held and held[0] != incarnation and held[1] > self.now:
            self.violations.append(
                f"{self.now:.2f}: session {session} is used by {held[0]} and by {incarnation}"
            )
        if epoch < self._highest[session]:
            self.violations.append(f"{self.now:.2f}: session {session} runs under an old epoch")
        self._highest[session] = max(epoch, self._highest[session])
        self._heard[session] = (incarnation, self.now + self.random.uniform(0, IN_FLIGHT))
        self.at(
            self.random.uniform(self._write_gap / 8, self._write_gap),
            lambda: self._write(node, session, epoch, incarnation),
        )

    def _report(self, kind: str, session: int, epoch: int, incarnation: str) -> None:
        """Reports are kept by the node until Redis has them: late, never lost."""
        self.at(self._delay(), lambda: self.reports.append((kind, session, epoch, incarnation)))

    # --- coordinators -----------------------------------------------------------------------

    def _tick(self, it: Coordinator) -> None:
        if it.paused_until > self.now:
            self.at(it.paused_until - self.now, lambda: self._tick(it))
            return
        self.at(TICK, lambda: self._tick(it))
        if self._stalled_until > self.now or not self._leads(it):
            return
        # A pause may come between the look and what follows from it.
        if self.random.random() < self.faults.leader_pause:
            it.paused_until = self.now + self.random.uniform(0.5, 8.0)
        nodes = {
            name: Record(r.incarnation, r.state, r.seq, r.assigned)
            for name, r in self.records.items()
        }
        act = lambda: self._act(it, nodes)  # noqa: E731
        self.at(max(0.0, it.paused_until - self.now), act)

    def _leads(self, it: Coordinator) -> bool:
        if self.leader and self.leader[1] > self.now and self.leader[0] != it.name:
            return False
        fresh = not (self.leader and self.leader[0] == it.name and self.leader[1] > self.now)
        if self.now - it.looked_at >= RENEW:
            it.looked_at = self.now
            fresh |= it.server != self.server
        self.leader = (it.name, self.now + LEAD)
        if fresh or it.until < self.now:
            self.redis_term = max(self.redis_term, self.sql_term) + 1
            self.sql_term = self.redis_term
            self.generation += 1
            it.term = self.redis_term
            it.epochs = EpochCounter(self.generation)
            it.server = self.server
            it.sightings, it.fenced_at, it.moving = {}, {}, {}
            it.active = {s: replace(held) for s, held in self.active.items()}
            it.waiting = dict(self.waiting)
            it.read = self.reports_read
        it.until = self.now + LEAD_STOP
        return True

    def _fenced_off(self, it: Coordinator) -> bool:
        """Whether what this one writes is refused, by its own clock or by its term."""
        if self.broken.stale_term_accepted:
            return False
        return it.until <= self.now or it.term != self.redis_term or it.term != self.sql_term

    def _act(self, it: Coordinator, nodes: dict[str, Record]) -> None:
        if self._fenced_off(it):
            return
        seen = [(r.incarnation, r.seq) for r in nodes.values()]
        it.sightings = liveness.observe(it.sightings, seen, self.now)
        self._take_reports(it)
        delay = 0.0 if self.broken.no_lock_delay else PROFILE.lock_delay
        homes = {r.incarnation for r in nodes.values()}
        owners = {held.incarnation for held in it.active.values()}
        self._reconcile(it, nodes)
        for name, record in nodes.items():
            sighting = it.sightings[record.incarnation]
            if record.incarnation in self._witnessed:
                held = self.records.get(name)
                if held and held.incarnation == record.incarnation:
                    held.state = "fenced"
                self._free(it, record.incarnation)
            elif (
                record.state == "ready" and liveness.health(sighting, self.now, PROFILE) == "silent"
            ):
                held = self.records.get(name)
                # Compare and set: a heartbeat since the look renewed the lease.
                if held and held.incarnation == record.incarnation and held.seq == sighting.seq:
                    held.state = "fenced"
                    it.fenced_at[record.incarnation] = self.now
            elif record.state == "fenced":
                fenced_at = it.fenced_at.setdefault(record.incarnation, self.now)
                if self.now - fenced_at >= delay and record.incarnation in owners:
                    self._free(it, record.incarnation)
        for incarnation in sorted(owners - homes):
            since = it.fenced_at.setdefault(incarnation, self.now)
            if self.now - since >= PROFILE.takeover or self.broken.lost_is_dead:
                self._free(it, incarnation)
        self._place(it, nodes)
        self._move(it, nodes)

    def _reconcile(self, it: Coordinator, nodes: dict[str, Record]) -> None:
        """Set the counts of nodes that are not reconciled in this term."""
        counts = Counter(held.incarnation for held in it.active.values())
        for name in nodes if not self.broken.unreconciled else ():
            held = self.records.get(name)
            if held is None:
                continue
            known = counts[held.incarnation]
            if held.reconciled_term != it.term or held.assigned < known:
                held.reconciled_term, held.assigned = it.term, known

    def _take_reports(self, it: Coordinator) -> None:
        fresh, it.read = self.reports[it.read :], len(self.reports)
        self.reports_read = max(self.reports_read, it.read)
        for kind, session, epoch, incarnation in fresh:
            held = it.active.get(session)
            if held is None or (held.epoch, held.incarnation) != (epoch, incarnation):
                continue
            if kind == "running" and held.state == "assigned":
                self._set_state(it, session, "running")
            elif kind == "stopped":
                self._ended(it, session)
        for session, held in it.active.items():
            # What was lost on its way is ordered again: nodes know what they run.
            # A new leader also asks for what it thinks runs: so some of that, too.
            chance = 0.002 if held.state == "running" else 0.05
            if self.random.random() < chance:
                kind = "stop" if held.state == "stopping" else "start"
                self._order(kind, it.term, session, held.epoch, held.incarnation)

    def _free(self, it: Coordinator, incarnation: str) -> None:
        for session, held in list(it.active.items()):
            if held.incarnation == incarnation:
                self.takeovers += 1
                self._ended(it, session)

    def _set_state(self, it: Coordinator, session: int, state: str) -> None:
        held = it.active[session]
        held.state = state
        stored = self.active.get(session)
        if stored and stored.epoch == held.epoch:
            stored.state = state

    def _ended(self, it: Coordinator, session: int) -> None:
        held = it.active.pop(session)
        it.waiting[session] = self.now
        stored = self.active.get(session)
        if stored is None or stored.epoch != held.epoch:
            return
        del self.active[session]
        self._load[held.incarnation] -= 1
        record = self.records.get(held.node)
        if record and record.incarnation == held.incarnation:
            record.assigned -= 1
        self.waiting[session] = self.now

    def _place(self, it: Coordinator, nodes: dict[str, Record]) -> None:
        ready = [
            placement.Node(
                name, r.incarnation, 1 << 30, 1 << 30, 0.0, held.assigned, self.capacity, 40
            )
            for name, r in nodes.items()
            if (held := self.records.get(name))
            and held.incarnation == r.incarnation
            and r.state == held.state == "ready"
            and liveness.health(it.sightings[r.incarnation], self.now, PROFILE) == "alive"
        ]
        rest = 0.0 if self.broken.no_cool_down else COOL_DOWN
        order = fair_order(
            [
                Waiter(s, s % 4 == 0, self.now - since)
                for s, since in it.waiting.items()
                if not since or self.now - since >= rest
            ]
        )
        requests = [placement.PlacementRequest(s, 1) for s in order[:PLACE_MOST]]
        for made in placement.plan(requests, ready).placed:
            target = it.moving.pop(made.session, "")
            home = next((r for r in ready if r.name == target and r.sessions < self.capacity), None)
            self._give(it, made.session, home.name if home else made.node)

    def _give(self, it: Coordinator, session: int, name: str) -> None:
        record = self.records[name]
        if record.assigned >= self.capacity or record.state != "ready":
            return
        if record.reconciled_term != it.term and not self.broken.unreconciled:
            return
        assert it.epochs is not None
        epoch = it.epochs.take()
        record.assigned += 1
        if session in self.active and not self.broken.stale_term_accepted:
            self.violations.append(f"{self.now:.2f}: session {session} is active twice")
        self.active[session] = Assigned(name, record.incarnation, epoch, "assigned")
        it.active[session] = replace(self.active[session])
        del it.waiting[session]
        self.waiting.pop(session, None)
        self.placements += 1
        self._load[record.incarnation] += 1
        if self._load[record.incarnation] > self.capacity:
            self.violations.append(f"{self.now:.2f}: {name} is beyond its capacity")
        self._order("start", it.term, session, epoch, record.incarnation)

    def _move(self, it: Coordinator, nodes: dict[str, Record]) -> None:
        """Now and then a session moves: STOP, acknowledgement, START."""
        if self.random.random() >= self.faults.move or not it.active:
            return
        session = self.random.choice(sorted(it.active))
        held = it.active[session]
        others = [n for n, r in nodes.items() if n != held.node and r.state == "ready"]
        if held.state != "running" or not others:
            return
        self._set_state(it, session, "stopping")
        self.moves += 1
        target = self.random.choice(others)
        it.moving[session] = target
        self._order("stop", it.term, session, held.epoch, held.incarnation)
        if self.broken.start_without_ack:
            self._ended(it, session)
            self._give(it, session, target)

    # --- what goes wrong ---------------------------------------------------------------------

    def _mischief(self) -> None:
        self.at(0.5, self._mischief)
        dice, faults = self.random.random, self.faults
        for node in self.nodes.values():
            if dice() < faults.pause / 2:
                node.paused_until = self.now + self.random.choice((0.5, 2.0, 5.0, 12.0))
            if dice() < faults.partition / 2:
                node.cut_until = self.now + self.random.uniform(1.0, 15.0)
            if node.running and dice() < faults.give_up / 2 and node.paused_until <= self.now:
                session = self.random.choice(sorted(node.running))
                self._stopped(node, session, node.running[session])
            if dice() < faults.crash / 2 and not node.dead:
                if dice() < 0.7:  # else its machine died with it
                    self._witnessed.add(node.incarnation)
                for session in list(self._heard):
                    self._close(session, node.incarnation)
                self._end(node)
        self._past.append(
            (
                {k: replace(it) for k, it in self.records.items()},
                self.redis_term,
                self.leader,
                len(self.reports),
            )
        )
        del self._past[:-MOST_BEHIND]
        if dice() < faults.failover / 2:
            self.server += 1
            self.records, self.redis_term, self.leader, told = self.random.choice(self._past)
            del self.reports[max(told, self.reports_read) :]
            self._past.clear()
        if dice() < faults.flush / 2:
            self.records.clear()
            self.redis_term = 0
            self.leader = None
            # Reports that nobody has read yet are gone as well.
            del self.reports[self.reports_read :]
        if dice() < faults.stall / 2:
            self._stalled_until = self.now + self.random.uniform(0.5, 6.0)
