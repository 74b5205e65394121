"""The coordinator's loop: what should be, made so.

One tick, in this order:

1. take in what nodes report, and write it to SQL in one transaction;
2. look at the nodes, and find out who has died;
3. free the sessions of the dead;
4. stop what should not run;
5. place what should run and does not.

All decisions are functions of other modules; here they are put into effect.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable

import redis
import structlog

from afx.cluster import keys, reports, specs
from afx.cluster.connection import connect
from afx.cluster.registry import LIVE_STATES, Registry, WorkerView
from afx.cluster.reports import Report
from afx.cluster.scripts import source
from afx.cluster.specs import RuleSpec, SessionSpec
from afx.config import Settings
from afx.coordinator import placement
from afx.coordinator.capacity import Capacity
from afx.coordinator.deaths import Deaths
from afx.coordinator.epochs import EpochCounter
from afx.coordinator.leader import Leader
from afx.coordinator.orders import Orders
from afx.coordinator.wire import place_item, release_item
from afx.errors import AfxError, FencedError, UnreachableError
from afx.security.vault import Vault
from models.base import DATABASE_ERRORS, reopen_database, transaction
from models.storage import assignments, cluster, queue, rules, sessions, workers
from models.storage.assignments import Active
from models.storage.sessions import Unplaced
from models.tables import Rule

_PLACE_MOST = 1000
_FULL_RETRY_SECONDS = 1.0
_STOP_LOOK_SECONDS = 0.5
_SAMPLE_SECONDS = 5.0
_RESEND_SECONDS = 10.0
_FORGET_SECONDS = 60.0

log = structlog.get_logger()


class Coordinator:
    """One coordinator: stands by until it leads, then ticks."""

    def __init__(self, settings: Settings, redis_url: str, vault: Vault) -> None:
        self._settings = settings
        self._redis = connect(redis_url)
        self._raw_redis = connect(redis_url, decode=False)
        self._registry = Registry(self._redis)
        self._place = self._redis.register_script(source("place"))
        self._release = self._redis.register_script(source("release"))
        self._orders = Orders(self._raw_redis, vault.signing_key(), settings.job_ttl_seconds)
        self._leader = Leader(redis_url, settings.leader_ttl_seconds, settings.leader_stop_seconds)
        self._stop = threading.Event()
        self._reset()

    def _reset(self) -> None:
        """Forget all that a leader knows: it is read again from SQL and Redis."""
        self._active: dict[int, Active] = {}
        self._sent_at: dict[int, float] = {}
        self._declared: dict[str, float] = {}
        """incarnation → when it was declared dead."""
        self._cooling: dict[int, float] = {}
        self._deaths = Deaths(self._registry, self._settings.lease)
        self._capacity = Capacity(self._settings)
        self._next_place = 0.0
        self._next_stop = 0.0
        self._next_sample = 0.0

    def request_stop(self, *_: object) -> None:
        """End after the tick under way."""
        self._stop.set()

    def run(self) -> None:
        """Lead when possible, stand by otherwise, until told to stop."""
        try:
            while not self._stop.is_set():
                try:
                    if self._leader.acquire():
                        self._lead()
                    else:
                        self._stop.wait(0.5)
                except FencedError:
                    log.warning("leadership_lost", term=self._leader.term)
                except redis.RedisError as error:
                    log.warning("redis_unreachable", reason=str(error))
                    self._stop.wait(0.5)
                except (UnreachableError, *DATABASE_ERRORS) as error:
                    log.warning("database_unreachable", reason=str(error).partition("\n")[0])
                    self._stop.wait(1.0)
                    reopen_database()
        finally:
            self._leader.close()
            self._deaths.close()
            self._redis.close()
            self._raw_redis.close()

    def _lead(self) -> None:
        self._deaths.close()
        self._reset()
        try:
            generation = cluster.begin_generation(self._leader.term)
            self._epochs = EpochCounter(generation)
            self._active = {it.session: it for it in assignments.active()}
            self._read = cluster.reports_read()
            self._recount()
            log.info("leading", term=self._leader.term, generation=generation)
            reports.announce(self._redis, "leading", term=self._leader.term)
            while not self._stop.is_set():
                self._leader.check()
                self.tick()
        finally:
            self._leader.resign()

    def _recount(self) -> None:
        """Set the nodes' counts of sessions to what SQL says.

        A leader that died between SQL and Redis may have left them wrong.
        """
        counts = Counter(it.incarnation for it in self._active.values())
        for it in self._registry.all():
            self._registry.set_assigned(it.name, counts[it.incarnation])

    def tick(self) -> None:
        """Do one round of the loop."""
        self._take_reports()
        nodes = self._registry.all()
        now = time.monotonic()
        owners = {it.incarnation for it in self._active.values()}
        dead = self._deaths.look(nodes, owners, self._leader.term, now)
        self._free_sessions_of(dead, nodes)
        nodes = [it for it in nodes if it.incarnation not in dead]
        self._leader.check()
        if now >= self._next_stop:
            self._next_stop = now + _STOP_LOOK_SECONDS
            self._stop_unwanted(nodes)
        if now >= self._next_place:
            self._place_sessions(nodes, now)
        self._resend_orders(nodes, now)
        if now >= self._next_sample:
            self._next_sample = now + _SAMPLE_SECONDS
            self._sample(nodes)

    # --- 1: reports ---------------------------------------------------------------

    def _take_reports(self) -> None:
        """Write what nodes reported; waits for the first, at most a tick's time."""
        last, found = reports.read(
            self._redis, self._read, block_seconds=self._settings.tick_seconds
        )
        if not found:
            return
        self._leader.check()
        running = [it for it in found if it.kind == "running" and self._is_current(it)]
        ended = [it for it in found if it.kind in ("stopped", "failed") and self._is_current(it)]
        failed = [it for it in ended if it.kind == "failed"]
        lost = [it for it in failed if it.reason.startswith("login lost")]
        with transaction():
            cluster.hold(self._leader.term)
            assignments.mark_running([(it.session, it.epoch) for it in running])
            sessions.clear_trouble([it.session for it in running])
            for it in ended:
                assignments.end_many([(it.session, it.epoch)], it.reason)
            sessions.note_failures([(it.session, it.reason) for it in failed])
            sessions.note_lost_logins([(it.session, it.reason) for it in lost])
            cluster.set_reports_read(last)
        self._read = last
        now = time.monotonic()
        for it in running:
            held = self._active[it.session]
            self._active[it.session] = Active(
                held.session, held.worker, held.incarnation, held.epoch, "running", held.revision
            )
            self._sent_at.pop(it.session, None)
        for it in failed:
            self._capacity.note_failure(it.session, it.node, now)
            log.warning("session_failed", session=it.session, node=it.node, reason=it.reason)
        self._drop_active(self._active[it.session] for it in ended)
        for it in found:
            if it.kind == "died":
                self._deaths.note_witnessed(it.incarnation)
            elif it.kind == "trouble":
                log.warning("session_trouble", session=it.session, node=it.node, reason=it.reason)
                reports.announce(
                    self._redis, "trouble", session=it.session, node=it.node, reason=it.reason
                )

    def _is_current(self, report: Report) -> bool:
        held = self._active.get(report.session)
        return (
            held is not None
            and held.epoch == report.epoch
            and held.incarnation == report.incarnation
        )

    def _drop_active(self, gone: Iterable[Active]) -> None:
        """Forget assignments that have ended, and free their room in Redis."""
        ended = list({it.session: it for it in gone}.values())
        if not ended:
            return
        now = time.monotonic()
        for it in ended:
            self._active.pop(it.session, None)
            self._sent_at.pop(it.session, None)
            if self._settings.cool_down_seconds:
                self._cooling[it.session] = now + self._settings.cool_down_seconds
        for start in range(0, len(ended), _PLACE_MOST):
            part = ended[start : start + _PLACE_MOST]
            answer = self._release(
                keys=[keys.TERM], args=[self._leader.term, *(release_item(it) for it in part)]
            )
            if int(answer) < 0:
                raise FencedError("Another coordinator leads now.")
        self._next_place = 0.0

    # --- 2 and 3: the dead ---------------------------------------------------------

    def _free_sessions_of(self, dead: dict[str, str], nodes: list[WorkerView]) -> None:
        if not dead:
            return
        names = {it.incarnation: it.name for it in nodes}
        gone = [it for it in self._active.values() if it.incarnation in dead]
        now = time.monotonic()
        for incarnation, reason in dead.items():
            if incarnation not in self._declared:
                self._declared[incarnation] = now
                count = sum(it.incarnation == incarnation for it in gone)
                name = names.get(incarnation, "")
                tell = log.info if reason == "left" else log.warning
                tell("node_down", node=name, reason=reason, sessions=count)
                reports.announce(
                    self._redis, "node_down", node=name, incarnation=incarnation, reason=reason,
                    sessions=count,
                )  # fmt: skip
        if gone:
            self._leader.check()
            with transaction():
                cluster.hold(self._leader.term)
                assignments.end_many([(it.session, it.epoch) for it in gone], "its node is down")
            self._drop_active(gone)
        for it in nodes:
            declared = self._declared.get(it.incarnation)
            if declared is not None and now - declared > _FORGET_SECONDS:
                self._registry.forget(it.name)
                self._orders.forget(it.name, it.incarnation)
                del self._declared[it.incarnation]

    # --- 4: what should not run ------------------------------------------------------

    def _stop_unwanted(self, nodes: list[WorkerView]) -> None:
        unwanted = assignments.wanted_stops()
        if not unwanted:
            return
        by_node: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
        for it in unwanted:
            by_node[it.worker, it.incarnation].append((it.session, it.epoch))
        with transaction():
            cluster.hold(self._leader.term)
            assignments.mark_stopping([(it.session, it.epoch) for it in unwanted])
        live = {it.incarnation for it in nodes if it.state in LIVE_STATES}
        for (node, incarnation), items in by_node.items():
            if incarnation in live:
                self._orders.send("stop", self._leader.term, node, incarnation, items)

    # --- 5: placement ------------------------------------------------------------------

    def _place_sessions(self, nodes: list[WorkerView], now: float) -> None:
        """Place what waits; what fits nowhere goes to the overflow queue."""
        waiting = [
            it for it in sessions.unplaced(_PLACE_MOST) if self._cooling.get(it.id, 0.0) <= now
        ]
        self._cooling = {k: v for k, v in self._cooling.items() if v > now}
        self._next_place = now + _FULL_RETRY_SECONDS
        if not waiting:
            return
        by_id = {it.id: it for it in waiting}
        ready = [
            self._capacity.node(it, now)
            for it in nodes
            if it.state == "ready" and self._deaths.is_alive(it, now)
        ]
        needed = self._capacity.needed_bytes(nodes)
        plan = placement.plan([self._capacity.wish(it, needed, now) for it in waiting], ready)
        placed = self._commit_plan(plan.placed, by_id)
        if plan.later or len(placed) < len(plan.placed):
            self._next_place = now + self._settings.tick_seconds
        full = [it.session for it in plan.placed if it.session not in placed]
        reason = "all nodes are full" if ready else "there is no ready node"
        self._record_plan(placed, [*plan.full, *full], by_id, reason)
        self._send_starts(placed, by_id, now)

    def _commit_plan(
        self, placed: Iterable[placement.Placement], by_id: dict[int, Unplaced]
    ) -> dict[int, Active]:
        """Reserve the plan's places in Redis; returns those that held."""
        settings, items = self._settings, list(placed)
        wanted = [
            Active(
                it.session,
                it.node,
                it.incarnation,
                self._epochs.take(),
                "assigned",
                by_id[it.session].revision,
            )
            for it in items
        ]
        held: dict[int, Active] = {}
        for start in range(0, len(items), 200):
            self._leader.check()
            part = list(zip(items, wanted, strict=True))[start : start + 200]
            answers = self._place(
                keys=[keys.TERM],
                args=[
                    self._leader.term,
                    *(
                        place_item(
                            active, it.bytes, self._capacity.headroom,
                            settings.ram_headroom_share,
                        )
                        for it, active in part
                    ),
                ],
            )  # fmt: skip
            for (_, active), answer in zip(part, answers, strict=True):
                if answer == "OK":
                    held[active.session] = active
        return held

    def _record_plan(
        self, placed: dict[int, Active], full: list[int], by_id: dict[int, Unplaced], reason: str
    ) -> None:
        """Write the plan to SQL: before any node hears of it."""
        self._leader.check()
        try:
            with transaction():
                cluster.hold(self._leader.term)
                assignments.create_many(placed.values())
                queue.remove_many([it for it in placed if by_id[it].queued])
                queue.put_many([(it, reason) for it in full])
        except AfxError:
            self._drop_active(placed.values())
            raise
        self._active.update(placed)

    def _send_starts(
        self, placed: dict[int, Active], by_id: dict[int, Unplaced], now: float
    ) -> None:
        if not placed:
            return
        their_rules = rules.for_sessions(list(placed))
        specs.publish(
            self._redis,
            (_spec(by_id[session], their_rules.get(session, [])) for session in placed),
        )
        self._send("start", placed.values(), now)
        for it in placed.values():
            self._capacity.note_start(it.incarnation)

    def _send(self, kind: str, chosen: Iterable[Active], now: float) -> None:
        by_node: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
        for it in chosen:
            by_node[it.worker, it.incarnation].append((it.session, it.epoch))
            self._sent_at[it.session] = now
        for (node, incarnation), items in by_node.items():
            self._orders.send(kind, self._leader.term, node, incarnation, items)

    def _resend_orders(self, nodes: list[WorkerView], now: float) -> None:
        """Send START again for what a live node has not answered for long.

        Nodes know what they run: a repeated order only makes them say so.
        """
        live = {it.incarnation for it in nodes if it.state in LIVE_STATES}
        late = [
            it
            for it in self._active.values()
            if it.state == "assigned"
            and it.incarnation in live
            and now - self._sent_at.setdefault(it.session, now) > _RESEND_SECONDS
        ]
        if late:
            self._send("start", late, now)

    # --- for people who look later ----------------------------------------------------

    def _sample(self, nodes: list[WorkerView]) -> None:
        with transaction():
            cluster.hold(self._leader.term)
            workers.seen_many([(it.name, it.incarnation, it.hostname, it.state) for it in nodes])
            workers.sample_many(
                [
                    (it.name, it.metrics.rss, it.metrics.cpu, it.metrics.sessions,
                     it.metrics.forwarded, it.metrics.load)
                    for it in nodes
                    if it.state in LIVE_STATES
                ]
            )  # fmt: skip


def _spec(session: Unplaced, its_rules: Iterable[Rule]) -> SessionSpec:
    return SessionSpec(
        session.id, session.name, session.tier, session.login,
        tuple(
            RuleSpec(it.id, tuple(it.sources), tuple(it.destinations), it.mode) for it in its_rules
        ),
    )  # fmt: skip
