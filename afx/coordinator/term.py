"""One term of leadership: everything that a leader knows and does."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import redis
import structlog

from afx.clock import Clock
from afx.cluster import key_repair, scripts
from afx.cluster.leadership import Leadership
from afx.cluster.registry import Registry
from afx.cluster.worker_records import WorkerView
from afx.config import Settings
from afx.coordinator import generations
from afx.coordinator.account_watch import AccountWatch
from afx.coordinator.answer_check import AnswerCheck
from afx.coordinator.assignments import AssignmentTable
from afx.coordinator.audit_watch import AuditWatch
from afx.coordinator.capacity import Capacity
from afx.coordinator.checkpoints import Checkpoints
from afx.coordinator.cluster_history import ClusterHistory
from afx.coordinator.controls import Controls
from afx.coordinator.coordinator_restart import CoordinatorRestart
from afx.coordinator.database_outage import SQL_ERRORS, DatabaseOutage
from afx.coordinator.dead_nodes import DeadNodes
from afx.coordinator.decisions.epochs import EpochCounter
from afx.coordinator.decisions.placement import Node
from afx.coordinator.expiries import Expiries
from afx.coordinator.failure_detector import FailureDetector
from afx.coordinator.hibernation import Hibernation
from afx.coordinator.history import History
from afx.coordinator.interval import HurriedInterval
from afx.coordinator.job_refusals import JobRefusals
from afx.coordinator.link_copies import LinkCopies
from afx.coordinator.loss_brake import LossBrake
from afx.coordinator.moves import Moves
from afx.coordinator.orders import Orders
from afx.coordinator.overflow import Overflow
from afx.coordinator.ownership import Ownership
from afx.coordinator.placement_rounds import PlacementRounds
from afx.coordinator.placement_schedule import PlacementSchedule
from afx.coordinator.placer import Placer
from afx.coordinator.preemptor import Preemptor
from afx.coordinator.ram_relief import RamRelief
from afx.coordinator.rebalancer import Rebalancer
from afx.coordinator.renewals import Renewals
from afx.coordinator.report_intake import ReportIntake
from afx.coordinator.reservations import Reservations
from afx.coordinator.rq_cleanup import RqCleanup
from afx.coordinator.scaler import Scaler
from afx.coordinator.size_learner import SizeLearner
from afx.coordinator.spec_publisher import SpecPublisher
from afx.coordinator.spec_refusals import SpecRefusals
from afx.coordinator.takeover import Takeover
from afx.coordinator.task_intake import TaskIntake
from afx.coordinator.task_publisher import TaskPublisher
from afx.coordinator.task_reconciler import TaskReconciler
from afx.coordinator.task_scheduler import TaskScheduler
from afx.coordinator.unknown_sessions import UnknownSessions
from afx.coordinator.unwanted import UnwantedSessions
from afx.coordinator.webhook_sender import WebhookSender
from afx.coordinator.wire import Headroom
from afx.security.signing import SigningKeys
from afx.security.vault import Vault

_PLACED_PER_ROUND = 500
_CONTROL_SECONDS, _HURRIED_SECONDS = 0.2, 0.02
_OBSERVE_SECONDS = 0.1

log = structlog.get_logger()


@dataclass(slots=True, frozen=True)
class Resources:
    """What a coordinator's process has, whether it leads or not."""

    settings: Settings
    client: redis.Redis
    raw_client: redis.Redis
    """The same Redis, with answers that are not decoded, for RQ."""
    registry: Registry
    orders: Orders
    signing_keys: SigningKeys
    audit_keys: Sequence[bytes]
    """The keys that seal the audit log, newest first."""
    clock: Clock
    restart: CoordinatorRestart
    rng: random.Random = field(default_factory=random.Random)
    vault: Vault | None = None
    """Opens the secrets of webhooks; without it nothing is delivered to them."""


class Term:
    """All parts of one term, built whole: a new leader begins with nothing but SQL.

    It reads SQL in the first ticks (``Takeover``), and acts when it has read all.
    """

    def __init__(
        self,
        resources: Resources,
        leadership: Leadership,
        *,
        placed_per_round: int = _PLACED_PER_ROUND,
    ) -> None:
        """Begin a generation of epochs.

        ``placed_per_round`` bounds the sessions that one query for placement finds.
        Raises FencedError when a newer term has begun.
        """
        settings, client = resources.settings, resources.client
        monotonic = resources.clock.monotonic
        self._leadership = leadership
        self._registry = resources.registry
        self._monotonic = monotonic
        self._observed_at = monotonic()
        """When the nodes were last observed."""
        scripts.load(client)
        key_repair.repair(client)
        begun = generations.begin(
            client, leadership, resources.signing_keys, settings.lease.takeover
        )
        self.generation, proof = begun.generation, begun.proof
        leadership.note_progress()
        # From here on no earlier leader ends a session: cool-downs count from now.
        now = monotonic()
        self._outage = DatabaseOutage(leadership)
        self._checkpoints = Checkpoints(client, leadership)
        headroom = Headroom.from_settings(settings)
        schedule = PlacementSchedule(
            now,
            cool_down_seconds=settings.cool_down_seconds,
            tick_seconds=settings.tick_seconds,
            most=placed_per_round,
        )
        ownership = Ownership(client, leadership, headroom)
        self._table = AssignmentTable(
            leadership=leadership,
            ownership=ownership,
            registry=resources.registry,
            orders=resources.orders,
            specs=SpecPublisher(
                client,
                leadership.term,
                resources.signing_keys,
                proof=proof,
                new_seconds=settings.new_account_days * 86_400,
            ),
            checkpoints=self._checkpoints,
            schedule=schedule,
            epochs=EpochCounter(self.generation),
        )
        self._unknown = UnknownSessions(
            leadership,
            table=self._table,
            ownership=ownership,
            orders=resources.orders,
            schedule=schedule,
            answer_seconds=settings.answer_seconds,
            settled_at=now + begun.unsettled_seconds,
        )
        self._capacity = Capacity(settings)
        self._webhooks = WebhookSender(
            settings,
            leadership,
            client,
            resources.vault,
            clock=resources.clock,
            rng=resources.rng,
        )
        self._brake = LossBrake(
            client, hold_seconds=settings.brake_hold_seconds, note_event=self._webhooks.note
        )
        settled_at = now + generations.split_seconds(client, leadership)
        self._detector = FailureDetector(
            resources.registry, settings.lease, leadership, settled_at=settled_at
        )
        self._hibernation = Hibernation(
            settings,
            leadership,
            self._table,
            schedule,
            self._capacity,
            rng=resources.rng,
            clock=resources.clock.time,
        )
        task_intake = TaskIntake(resources.rng)
        self._publisher = TaskPublisher(
            client, resources.signing_keys, leadership, self._table, clock=resources.clock.time
        )
        self._scheduler = TaskScheduler(leadership)
        self._tasks = TaskReconciler(client, leadership, self._table, resources.orders, task_intake)
        self._intake = ReportIntake(
            client,
            run_id=leadership.run_id,
            settled_at=settled_at,
            generation=self.generation,
            keys=resources.signing_keys,
            proof=proof,
            registry=resources.registry,
            table=self._table,
            detector=self._detector,
            capacity=self._capacity,
            checkpoints=self._checkpoints,
            unknown=self._unknown,
            spec_refusals=SpecRefusals(client, resources.audit_keys[0]),
            accounts=AccountWatch(resources.clock.time),
            tasks=task_intake,
            block_seconds=settings.tick_seconds,
            monotonic=monotonic,
            note_caught_up=self._hibernation.note_caught_up,
        )
        self._dead_nodes = DeadNodes(
            client=client,
            registry=resources.registry,
            detector=self._detector,
            table=self._table,
            capacity=self._capacity,
            brake=self._brake,
            rq_cleanup=RqCleanup(resources.raw_client),
            unknown=self._unknown,
            term=leadership.term,
            note_event=self._webhooks.note,
        )
        self._controls = Controls(
            client, resources.registry, self._table, resources.restart, leadership.term
        )
        self._controls.read()
        self._unwanted = UnwantedSessions(client, leadership, self._table, schedule)
        self._renewals = Renewals(leadership, self._table)
        self._reservations = Reservations(
            client,
            leadership,
            headroom=headroom,
            premium_share=settings.premium_headroom_share,
        )
        overflow = Overflow(
            resources.raw_client, resources.signing_keys, clock=resources.clock.time
        )
        self._takeover = Takeover(
            leadership,
            table=self._table,
            checkpoints=self._checkpoints,
            overflow=overflow,
            monotonic=monotonic,
        )
        self._rounds = PlacementRounds(
            schedule=schedule,
            placer=Placer(
                leadership=leadership,
                table=self._table,
                capacity=self._capacity,
                reservations=self._reservations,
                overflow=overflow,
                unknown=self._unknown,
            ),
            preemptor=Preemptor(settings, leadership, self._table, self._capacity),
            overflow=overflow,
            most=placed_per_round,
            monotonic=monotonic,
        )
        self._rebalancer = Rebalancer(settings, leadership, self._capacity, schedule, now=now)
        self._ram_relief = RamRelief(settings, client, leadership, self._capacity)
        self._moves = Moves(self._table, self._capacity, self._reservations)
        self._answers = AnswerCheck(
            self._table, answer_seconds=settings.answer_seconds, now=now, monotonic=monotonic
        )
        self._history = History(settings, leadership)
        self._cluster_history = ClusterHistory(settings, leadership, now=now)
        self._audit = AuditWatch(
            client, leadership, resources.audit_keys, seconds=settings.sample_seconds
        )
        self._link_copies = LinkCopies(
            client, resources.raw_client, leadership, link_days=settings.link_days
        )
        audit_key = resources.audit_keys[0]
        self._job_refusals = JobRefusals(client, leadership, audit_key)
        days = settings.dead_letter_days
        self._expiries = Expiries(client, leadership, audit_key, days=days)
        self._control_readings = HurriedInterval(_CONTROL_SECONDS, _HURRIED_SECONDS)
        self._control_rounds = HurriedInterval(_CONTROL_SECONDS, _HURRIED_SECONDS)
        self._learner = SizeLearner(self._capacity)
        self._scaler = Scaler(settings, client, leadership, self._capacity, now=now)

    def close(self) -> None:
        """Close what the term has opened."""
        self._webhooks.close()
        self._detector.close()

    @property
    def waits_for_sql(self) -> bool:
        """Whether SQL is away: the next tick does not wait for anything by itself."""
        return self._outage.is_on

    def tick(self) -> bool:
        """Run one round; True when this coordinator has to restart.

        While assignments are read at the beginning of the term, and while SQL is away, the
        leader observes the nodes only. An error of SQL ends a round, not the term.
        """
        now = self._monotonic()
        if self._outage.is_on:
            self._observe(now)
            if not self._outage.try_end(now):
                return False
        try:
            if not self._takeover.is_done:
                self._observe(now)
                self._takeover.step()
                return False
            return self._act()
        except SQL_ERRORS as error:
            self._outage.begin(error, self._monotonic())
            return False

    def _observe(self, now: float) -> None:
        """See which nodes are dead, and fence those that are silent."""
        self._observed_at = now
        nodes = self._registry.all()
        dead = self._dead_nodes.find(nodes, now)
        if self._takeover.is_done:
            self._dead_nodes.declare(dead, nodes, now)

    def _end_part(self) -> None:
        """Observe the nodes between the parts of a tick that take long.

        Many parts may take long together when Redis is far away: a leader hangs when one
        does not end.
        """
        self._leadership.note_progress()
        now = self._monotonic()
        if now - self._observed_at >= _OBSERVE_SECONDS:
            self._observe(now)

    def _act(self) -> bool:
        """Do what a leader does; True when this coordinator has to restart.

        1. Take what nodes report; this waits for a report, at most a tick's time. Publish
           tasks, and find those that are lost.
        2. Free the sessions of dead nodes, and hold placement when most died at once.
        3. Set the nodes' counts in Redis to what SQL says.
        4. Set the nodes' desired states.
        5. Stop the sessions that SQL does not know, and those that should not run; remove
           those to be removed. Tell nodes of filters and transforms that have changed. Let
           sessions wake that hibernate, and others sleep.
        6. Place the sessions that wait, once the nodes have said what they run.
        7. Move sessions, and note how far each control has come.
        8. Repeat the orders that were not answered; restart unresponsive nodes.
        9. Copy cursors and links to SQL, write the history, recommend how many nodes there
           should be, tell webhooks of events, and check the audit log.
        """
        self._table.settle_doubts(self._monotonic())
        self._intake.take()
        self._scheduler.step(self._monotonic())
        self._publisher.step(self._monotonic())
        self._leadership.note_progress()
        now = self._observed_at = self._monotonic()
        nodes = self._registry.all()
        if not self._intake.is_behind:  # what seems to be lost may have been reported
            self._tasks.step(nodes, now)
        nodes = self._dead_nodes.free_sessions(self._dead_nodes.find(nodes, now), nodes, now)
        self._leadership.check()
        self._publisher.note_nodes(nodes)
        nodes = self._table.reconcile(nodes)
        self._end_part()
        if self._control_readings.is_due(now, news=self._intake.is_woken):
            self._controls.read()
        has_news = self._controls.has_news(self._intake.changed)
        controls_due = self._control_rounds.is_due(now, news=has_news)
        nodes = self._controls.apply_desired_states(nodes)
        self._brake.update(nodes, now)
        self._learner.step(nodes, now)
        self._unknown.step(nodes, now)
        self._unwanted.stop_soon(self._controls.asked_stops, now)
        self._unwanted.stop_and_remove(now)
        self._renewals.step(now)
        self._hibernation.place_soon(self._controls.asked_wakes(), now)
        self._hibernation.step(nodes, self._publisher.take_awaited(), now)
        ready = self._ready_nodes(nodes, now)
        self._end_part()
        if not self._brake.is_held(now) and self._unknown.are_found(nodes, now):
            self._rounds.run_if_due(ready, now)
        self._end_part()
        restart_due = controls_due and self._move(nodes, ready, now)
        self._end_part()
        self._answers.repeat_orders(now)
        if controls_due and not self._intake.is_behind:
            self._restart_unresponsive(nodes, now)
        self._checkpoints.copy(now)
        self._link_copies.step(now)
        self._end_part()
        self._history.write(nodes, now)
        self._cluster_history.step(nodes, now)
        self._scaler.step(
            nodes, now, is_alive=self._detector.is_alive, is_held=self._brake.is_held(now)
        )
        self._end_part()
        self._webhooks.step(now)
        self._job_refusals.step([it.name for it in nodes], now)
        self._audit.check(now)
        self._expiries.step(now)
        return restart_due

    def _ready_nodes(self, nodes: Sequence[WorkerView], now: float) -> list[Node]:
        """Return the nodes that may be given sessions, at the rate that the brake allows."""
        rate = self._brake.rate(now)
        ready = [
            self._capacity.node(it, now, rate)
            for it in nodes
            if it.state == "ready"
            and it.reconciled_term == self._leadership.term
            and self._detector.is_alive(it, now)
        ]
        return [] if self._brake.is_held(now) else ready

    def _move(self, nodes: Sequence[WorkerView], ready: Sequence[Node], now: float) -> bool:
        """Begin moves, and advance the controls; True when this coordinator has to restart."""
        requested = self._ram_relief.step(nodes, now) | self._rebalancer.due_moves(nodes, now)
        requested |= self._controls.asked_moves()
        news = self._moves.step(requested, nodes, ready, now)
        restart_due = self._controls.advance(nodes, self._reservations.placements, news, now)
        self._control_rounds.finish(now, self._monotonic())
        return restart_due

    def _restart_unresponsive(self, nodes: Sequence[WorkerView], now: float) -> None:
        unresponsive = self._answers.unresponsive(nodes, now)
        if unresponsive:
            self._controls.restart_unresponsive(unresponsive, nodes, now)
