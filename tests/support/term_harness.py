"""One term of leadership in the test's process, on a clock that the test moves.

Redis and SQL are real. Nodes are records that send heartbeats; the orders they get
are recorded, and obeyed if the test says so.
"""

from __future__ import annotations

import base64
import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rq import Queue
from rq.serializers import JSONSerializer
from support.specs import SIGNING_KEYS

from afx.clock import SYSTEM_CLOCK, Clock
from afx.cluster import report_stream
from afx.cluster.connection import connect
from afx.cluster.generation_proof import prove
from afx.cluster.leadership import LeaderElection, Leadership
from afx.cluster.quarantine import Quarantine
from afx.cluster.registry import MissingError, Registry
from afx.cluster.reports import Failed, Inventory, Report, Running, Stopped
from afx.cluster.worker_records import Identity, Metrics
from afx.config import load
from afx.coordinator.coordinator_restart import CoordinatorRestart
from afx.coordinator.decisions.epochs import COUNTER_BITS
from afx.coordinator.orders import Orders
from afx.coordinator.term import Resources, Term
from afx.errors import FencedError
from afx.reasons import FailureReason, StopReason
from afx.security.vault import Vault
from models.storage import assignments, cluster, rules, sessions, users
from models.storage.rules import NewRule
from models.storage.sessions import NewSession

MIB = 1 << 20
IDLE = Metrics(100 * MIB, 2000 * MIB, 4000 * MIB, 0.1, 0, 0, 0)
AUDIT_KEY = b"a" * 32
VAULT = Vault([base64.urlsafe_b64encode(b"v" * 32).decode()])
_TICK_SECONDS = 0.1
_TICKS = 400


@dataclass(slots=True, frozen=True)
class Order:
    """An order that a node got."""

    kind: str
    node: str
    incarnation: str
    session: int
    epoch: int


class RecordedOrders(Orders):
    """Records orders instead of queueing them."""

    def __init__(self) -> None:
        self.sent: list[Order] = []
        self.asked: list[tuple[int, str, str]] = []
        """(term, node, incarnation) of each inventory that was asked for."""
        self.cancelled: list[tuple[int, int]] = []
        """(task, publication) of each task whose cancel was ordered."""

    def cancel_tasks(self, node: str, incarnation: str, tasks: Sequence[tuple[int, int]]) -> None:
        """Record that tasks are to be cancelled."""
        del node, incarnation
        self.cancelled += tasks

    def ask_inventory(self, term: int, node: str, incarnation: str) -> None:
        """Record that a node was asked what it runs."""
        self.asked.append((term, node, incarnation))

    def send(
        self, kind: str, term: int, node: str, incarnation: str, items: Sequence[tuple[int, int]]
    ) -> None:
        """Record an order for each session."""
        del term
        self.sent += (Order(kind, node, incarnation, *it) for it in items)


def add(owner: str, count: int, **requires: str) -> list[int]:
    """Add a user with sessions that should run; returns their ids."""
    made = sessions.create_many(
        users.create(owner), [NewSession(f"{owner}{n}", "sealed") for n in range(count)]
    )
    rules.create_many([NewRule(it, "r", ["-1"], ["-2"]) for it in made])
    for it in made:
        if requires:
            sessions.set_requires(sessions.find(str(it)), requires)
    return made


def placed() -> dict[int, str]:
    """Return session → node."""
    return {it.session: it.worker for it in assignments.active()}


def running() -> set[int]:
    """Return the sessions that run, as SQL says."""
    return {it.session for it in assignments.active() if it.state == "running"}


def elect(
    redis_url: str, holder: str = "test:1:x", above: int = 0
) -> tuple[LeaderElection, Leadership]:
    """Return an election, and the leadership that it won, with a term above another one."""
    election = LeaderElection(
        redis_url,
        holder=holder,
        ttl_seconds=60.0,
        stop_seconds=30.0,
        tick_limit_seconds=60.0,
        clock=SYSTEM_CLOCK,
    )
    leadership = election.acquire(above)
    assert leadership is not None
    return election, leadership


class TermHarness:
    """A term that is ticked by hand; each tick takes a tenth of a second."""

    def __init__(
        self, home: Path, redis_url: str, *, placed_per_round: int = 1000, **settings: object
    ) -> None:
        self.now = 1000.0
        self.redis = connect(redis_url)
        self.redis.config_set("hz", 500)  # each round waits for a report for one millisecond
        self.raw_redis = connect(redis_url, decode=False)
        self.registry = Registry(self.redis, Quarantine(self.redis))
        self.orders = RecordedOrders()
        self.obeying = True
        """Whether nodes do what they are ordered, and report it."""
        self.proving = True
        """Whether nodes prove the generations of which they have epochs; older ones do not."""
        self.live: dict[int, set[tuple[str, int]]] = defaultdict(set)
        """session → (node, epoch) of the obeying nodes that run it now."""
        self.ran_twice: set[int] = set()
        """The sessions that two nodes ran at once."""
        self.nodes: dict[str, Identity] = {}
        self.metrics: dict[str, Metrics] = {}
        """What nodes report of themselves, where it is not that they are idle."""
        self._states: dict[str, str] = {}
        self._incarnations = itertools.count(2)
        self._handled = 0
        self._redis_url = redis_url
        self._election, self.leadership = elect(redis_url)
        self._settings = load(
            home=home,
            redis_url=redis_url,
            tick_seconds=0.001,
            **{"cool_down_seconds": 0, **settings},
        )
        self._restart = CoordinatorRestart()
        self._placed_per_round = placed_per_round
        self.term = self._new_term()

    def change_leader(self) -> None:
        """End the term, and begin the next one as another leader does, from SQL and Redis."""
        self.term.close()
        self.leadership.resign()
        self._election.close()
        self._election, self.leadership = elect(self._redis_url, above=cluster.term())
        self.term = self._new_term()

    def _new_term(self) -> Term:
        resources = Resources(
            settings=self._settings,
            client=self.redis,
            raw_client=self.raw_redis,
            registry=self.registry,
            orders=self.orders,
            signing_keys=SIGNING_KEYS,
            audit_keys=[AUDIT_KEY],
            clock=Clock(monotonic=lambda: self.now),
            restart=self._restart,
            vault=VAULT,
        )
        return Term(resources, self.leadership, placed_per_round=self._placed_per_round)

    def add_node(
        self,
        name: str,
        most: int = 100,
        *,
        boot_id: str = "another boot",
        pid_namespace: str = "",
        replaces: str = "",
        shares: int = 1,
        empty_rss: int = 0,
        **labels: str,
    ) -> Identity:
        """Register a node that sends heartbeats from now on."""
        identity = Identity(name, f"{name}-1", "far", boot_id, pid_namespace, "1:1", most, labels)
        identity = replace(identity, replaces=replaces, shares=shares, empty_rss=empty_rss)
        assert self.registry.register(identity, IDLE)
        self.nodes[name] = identity
        return identity

    def kill_node(self, name: str) -> None:
        """Let a node send no heartbeat and obey no order any more."""
        del self.nodes[name]

    def tick(self, seconds: float = _TICK_SECONDS) -> None:
        """Let the nodes act, and run one round."""
        self.now += seconds
        for it in list(self.nodes.values()):
            self._beat(it)
        self._obey()
        self.term.tick()

    def _beat(self, node: Identity) -> None:
        """Send a heartbeat, and do what a supervisor does when it is refused."""
        seen = self._states.get(node.name, "ready")
        metrics = self.metrics.get(node.name, IDLE)
        try:
            _, self._states[node.name] = self.registry.beat(node, metrics, [], seen)  # type: ignore[arg-type]
        except MissingError:
            self.registry.register(node, IDLE)
        except FencedError:
            for live in self.live.values():
                live -= {it for it in live if it[0] == node.name}
            incarnation = f"{node.name}-{next(self._incarnations)}"
            self.nodes[node.name] = replace(node, incarnation=incarnation)
            self.registry.register(self.nodes[node.name], IDLE)

    def until(self, done: Callable[[], bool]) -> None:
        """Run rounds until a condition holds."""
        for _ in range(_TICKS):
            if done():
                return
            self.tick()
        raise AssertionError(f"not done after {_TICKS} rounds; orders: {self.orders.sent}")

    def sent(self, kind: str, session: int) -> list[Order]:
        """Return the orders of a kind that were given for a session."""
        return [it for it in self.orders.sent if (it.kind, it.session) == (kind, session)]

    def assigned(self) -> dict[str, int]:
        """Return node → its count of sessions in Redis."""
        return {it.name: it.assigned for it in self.registry.all()}

    def report_failure(
        self,
        session: int,
        reason: FailureReason = FailureReason.TELEGRAM_ERROR,
        *,
        epoch: int | None = None,
    ) -> None:
        """Report that a session has failed, under its epoch or another one."""
        [active] = [it for it in assignments.active() if it.session == session]
        failed = Failed(
            node=active.worker,
            incarnation=active.incarnation,
            session_id=session,
            epoch=active.epoch if epoch is None else epoch,
            reason=reason,
        )
        report_stream.publish(self.redis, [failed])

    def overflow(self) -> set[str]:
        """Return the ids of the jobs in the overflow queue."""
        return set(Queue("overflow", connection=self.raw_redis, serializer=JSONSerializer).job_ids)

    def close(self) -> None:
        """End the term."""
        self.term.close()
        self.leadership.resign()
        self._election.close()
        self.redis.config_set("hz", 100)
        self.redis.close()
        self.raw_redis.close()

    def _obey(self) -> None:
        fresh, self._handled = self.orders.sent[self._handled :], len(self.orders.sent)
        asked, self.orders.asked = self.orders.asked, []
        if not self.obeying:
            return
        answers: list[Report] = []
        for it in fresh:
            node = self.nodes.get(it.node)
            if node and node.incarnation == it.incarnation and it.kind != "renew":
                self._carry_out(it)
                answers.append(_answer(it))
        answers += [self._inventory(*it) for it in asked if it[1] in self.nodes]
        if answers:
            report_stream.publish(self.redis, answers)

    def _carry_out(self, order: Order) -> None:
        live = self.live[order.session]
        ended = {it for it in live if it[0] not in self.nodes}
        ended |= {it for it in live if it[0] == order.node and it[1] <= order.epoch}
        live -= ended
        if order.kind == "start":
            live.add((order.node, order.epoch))
        if len({node for node, _ in live}) > 1:
            self.ran_twice.add(order.session)

    def _inventory(self, term: int, node: str, incarnation: str) -> Inventory:
        found = [(it, e) for it, live in self.live.items() for name, e in live if name == node]
        newest = max((epoch for _, epoch in found), default=0)
        return Inventory(
            node=node,
            incarnation=incarnation,
            term=term,
            session_ids=tuple(it for it, _ in found),
            epochs=tuple(epoch for _, epoch in found),
            remaining=0,
            proof=prove(SIGNING_KEYS, newest >> COUNTER_BITS) if newest and self.proving else "",
        )


def _answer(order: Order) -> Report:
    if order.kind == "start":
        return Running(
            node=order.node,
            incarnation=order.incarnation,
            session_id=order.session,
            epoch=order.epoch,
        )
    return Stopped(
        node=order.node,
        incarnation=order.incarnation,
        session_id=order.session,
        epoch=order.epoch,
        reason=StopReason.REQUESTED,
    )
