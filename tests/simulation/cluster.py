"""A cluster under a virtual clock: the protocol's decisions, and all that may go wrong.

The decisions are the real ones (``lease``, ``liveness``, ``epochs``, ``placement``,
``fairness``); Redis, SQL, Telegram, nodes and coordinators are models of a few
lines each. The judge sees what Telegram sees: a session that two incarnations use
at once is a violation, and so is an epoch that falls, or a node beyond its
capacity. ``Faults`` says what goes wrong, ``OmittedRules`` leaves a rule out on
purpose.
"""

from __future__ import annotations

from random import Random

from simulation.clock import Clock
from simulation.conditions import Conditions, Faults, OmittedRules
from simulation.coordinator import Coordinator
from simulation.judge import Judge
from simulation.node import Node
from simulation.redis import Redis, Sql

FAULT_PERIOD = 0.5
WITNESSED = 0.7
"""The share of crashes that another process on the machine sees; else the machine died."""


class Cluster:
    """Nodes, coordinators and their servers; each seed is one schedule of faults."""

    def __init__(
        self,
        seed: int,
        *,
        nodes: int = 4,
        sessions: int = 12,
        capacity: int = 8,
        coordinators: int = 2,
        faults: Faults | None = None,
        omitted: OmittedRules | None = None,
        write_gap: float = 0.4,
    ) -> None:
        random, faults, omitted = Random(seed), faults or Faults(), omitted or OmittedRules()
        self.capacity = capacity
        self.clock = Clock()
        self.conditions = Conditions(self.clock, random, faults, omitted)
        self.redis = Redis()
        self.sql = Sql(waiting=dict.fromkeys(range(sessions), 0.0))
        self.judge = Judge(
            self.clock,
            random,
            sessions=range(sessions),
            capacity=capacity,
            data_outlives_its_process=omitted.data_outlives_its_process,
        )
        self._witnessed_deaths: set[str] = set()
        """Incarnations whose processes were seen to die."""
        self.nodes = {
            name: Node(
                name,
                1 + random.uniform(-faults.drift, faults.drift),
                clock=self.clock,
                conditions=self.conditions,
                redis=self.redis,
                judge=self.judge,
                write_gap=write_gap,
            )
            for name in (f"w{number}" for number in range(nodes))
        }
        for node in self.nodes.values():
            node.start()
        for number in range(coordinators):
            coordinator = Coordinator(
                f"c{number}",
                clock=self.clock,
                conditions=self.conditions,
                redis=self.redis,
                sql=self.sql,
                nodes=self.nodes,
                witnessed_deaths=self._witnessed_deaths,
                judge=self.judge,
                capacity=capacity,
            )
            self.clock.after(random.random(), coordinator.tick)
        self.clock.after(FAULT_PERIOD, self._cause_faults)

    def run(self, seconds: float) -> None:
        """Let so many seconds pass, or less when the judge has found enough."""
        self.clock.run(seconds, stop=lambda: self.judge.is_done)

    def end_faults(self) -> None:
        """Let nothing go wrong from now on."""
        self.conditions.faults = Faults(**dict.fromkeys(Faults.__slots__, 0.0))
        for node in self.nodes.values():
            node.paused_until = node.cut_until = 0.0

    def _cause_faults(self) -> None:
        self.clock.after(FAULT_PERIOD, self._cause_faults)
        random, faults = self.conditions.random, self.conditions.faults
        for node in self.nodes.values():
            self._cause_node_faults(node)
        self.redis.replicate()
        if random.random() < faults.failover * FAULT_PERIOD:
            self.redis.fail_over(random)
        if random.random() < faults.flush * FAULT_PERIOD:
            self.redis.flush()
        if random.random() < faults.stall * FAULT_PERIOD:
            self.conditions.stalled_until = self.clock.now + random.uniform(0.5, 6.0)

    def _cause_node_faults(self, node: Node) -> None:
        random, faults, now = self.conditions.random, self.conditions.faults, self.clock.now
        if random.random() < faults.pause * FAULT_PERIOD:
            node.paused_until = now + random.choice((0.5, 2.0, 5.0, 12.0))
        if random.random() < faults.partition * FAULT_PERIOD:
            node.cut_until = now + random.uniform(1.0, 15.0)
        gives_up = node.running and random.random() < faults.give_up * FAULT_PERIOD
        if gives_up and node.paused_until <= now:
            session = random.choice(sorted(node.running))
            node.stopped(session, node.running[session])
        if random.random() < faults.crash * FAULT_PERIOD and not node.dead:
            if random.random() < WITNESSED:
                self._witnessed_deaths.add(node.incarnation)
            self.judge.close_all(node.incarnation)
            node.end()
