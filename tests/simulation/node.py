"""A node: it registers, renews its lease, obeys orders and uses its sessions."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from simulation.clock import Clock
from simulation.conditions import Conditions
from simulation.judge import Judge
from simulation.redis import Answer, Redis, Report

from afx import lease

PROFILE = lease.PROFILES["fast"]
HEARTBEAT = 0.5
RESTART = 0.5
ORDER_RETRY = 0.1


class Order(NamedTuple):
    """What a coordinator tells an incarnation to do with a session."""

    kind: str
    term: int
    session: int
    epoch: int
    incarnation: str


class Node:
    """One machine; each start of its process is an incarnation."""

    def __init__(
        self,
        name: str,
        rate: float,
        *,
        clock: Clock,
        conditions: Conditions,
        redis: Redis,
        judge: Judge,
        write_gap: float,
    ) -> None:
        """``rate`` is its clock's seconds for each of the cluster's."""
        self.name = name
        self.incarnation = ""
        self.dead = False
        self.paused_until = 0.0
        self.cut_until = 0.0
        """No message from or to Redis gets through until then."""
        self.running: dict[int, int] = {}
        """Session → the epoch under which it runs."""
        self._clock = clock
        self._conditions = conditions
        self._redis = redis
        self._judge = judge
        self._rate = rate
        self._write_gap = write_gap
        self._starts = 0
        self._attempts = 0
        """Counts attempts to register: an answer is taken only for the last one."""
        self._deadline = 0.0
        """When its lease ends, by its own clock; below 0: it has none yet."""
        self._term = 0
        self._epochs: dict[int, int] = {}

    # --- the process -------------------------------------------------------------

    def start(self) -> None:
        """Start a new incarnation."""
        self._starts += 1
        self.incarnation = f"{self.name}#{self._starts}"
        self.dead = False
        self._deadline = -1.0
        self._epochs, self.running = {}, {}
        self._register(self.incarnation)

    def end(self) -> None:
        """End the incarnation: its lease is over, it was fenced, or it crashed."""
        self.running.clear()
        self.dead = True
        self._clock.after(RESTART, self.start)

    def _time(self) -> float:
        return self._clock.now * self._rate

    def _may_write(self) -> bool:
        return not self.dead and self._time() < self._deadline

    def _is_gone(self, incarnation: str) -> bool:
        return self.dead or self.incarnation != incarnation

    def _is_cut(self) -> bool:
        return self.cut_until > self._clock.now or self._conditions.loses_message()

    def _is_awake(self, action: Callable[[], None]) -> bool:
        """Return whether it can act now; else the action runs when its pause is over."""
        if self.paused_until > self._clock.now:
            self._clock.after(self.paused_until - self._clock.now + 1e-6, action)
            return False
        return True

    # --- its lease -----------------------------------------------------------------

    def _register(self, incarnation: str) -> None:
        if self._is_gone(incarnation):
            return
        if not self._is_awake(lambda: self._register(incarnation)):
            return
        if self._deadline >= 0:
            return
        sent_at = self._time()
        self._attempts += 1
        attempt = self._attempts
        self._clock.after(PROFILE.node, lambda: self._on_no_answer(incarnation, attempt))
        if self._is_cut():
            return

        def arrive() -> None:
            answer = self._redis.register(self.name, incarnation)
            if not self._is_cut():
                self._clock.after(
                    self._conditions.delay(),
                    lambda: self._on_registered(answer, incarnation, attempt, sent_at),
                )

        for _ in range(self._conditions.copies()):
            self._clock.after(self._conditions.delay(), arrive)

    def _on_registered(
        self, answer: Answer, incarnation: str, attempt: int, sent_at: float
    ) -> None:
        if self._is_gone(incarnation) or self._attempts != attempt or self._deadline >= 0:
            return
        if not self._is_awake(lambda: self._on_registered(answer, incarnation, attempt, sent_at)):
            return
        if answer is Answer.NAME_TAKEN:
            self._attempts += 1  # this attempt has its answer
            self._clock.after(HEARTBEAT, lambda: self._register(incarnation))
        elif answer is Answer.FENCED:
            self.end()
        else:
            self._deadline = sent_at + PROFILE.node
            self._beat(incarnation)

    def _on_no_answer(self, incarnation: str, attempt: int) -> None:
        """A registration without an answer may have succeeded: it is not repeated."""
        if self._is_gone(incarnation) or self._attempts != attempt or self._deadline >= 0:
            return
        if not self._is_awake(lambda: self._on_no_answer(incarnation, attempt)):
            return
        if self._conditions.omitted.unanswered_registration_is_repeated:
            self._register(incarnation)
        else:
            self.end()

    def _beat(self, incarnation: str) -> None:
        if self._is_gone(incarnation):
            return
        if not self._is_awake(lambda: self._beat(incarnation)):
            return
        if self._time() >= self._deadline:
            self.end()
            return
        self._clock.after(HEARTBEAT, lambda: self._beat(incarnation))
        sent_at = self._time()
        if self._is_cut():
            return

        def arrive() -> None:
            answer = self._redis.heartbeat(self.name, incarnation)
            if not self._is_cut():
                self._clock.after(
                    self._conditions.delay(), lambda: self._on_beat(answer, incarnation, sent_at)
                )

        self._clock.after(self._conditions.delay(), arrive)

    def _on_beat(self, answer: Answer, incarnation: str, sent_at: float) -> None:
        if self._is_gone(incarnation):
            return
        if not self._is_awake(lambda: self._on_beat(answer, incarnation, sent_at)):
            return
        if answer is Answer.UNKNOWN:
            self._register_again(incarnation)
        elif answer is Answer.FENCED:
            self.end()
        else:
            self._renew(self._time() if self._conditions.omitted.deadline_from_reply else sent_at)

    def _register_again(self, incarnation: str) -> None:
        """Redis has lost the node, which keeps its sessions while its lease lasts."""
        sent_at = self._time()
        if self._is_cut():
            return

        def arrive() -> None:
            answer = self._redis.register(self.name, incarnation)
            if answer is Answer.ACCEPTED and not self._is_cut():
                self._clock.after(self._conditions.delay(), accepted)

        def accepted() -> None:
            if not self._is_gone(incarnation) and self._is_awake(accepted):
                self._renew(sent_at)

        self._clock.after(self._conditions.delay(), arrive)

    def _renew(self, sent_at: float) -> None:
        """Extend the lease from the time at which the request was sent, unless it is over."""
        if self._time() < self._deadline:
            self._deadline = max(self._deadline, sent_at + PROFILE.node)

    # --- its sessions ----------------------------------------------------------------

    def obey(self, order: Order) -> None:
        """Do what an order says, if it is for this incarnation and not from an old term."""
        if self._is_gone(order.incarnation):
            return
        if self._deadline < 0:
            # Orders wait while the node does not know yet that it is registered.
            self._clock.after(ORDER_RETRY, lambda: self.obey(order))
            return
        if self.cut_until > self._clock.now:
            return
        if not self._is_awake(lambda: self.obey(order)):
            return
        if order.term < self._term and not self._conditions.omitted.stale_term_accepted:
            return
        self._term = max(self._term, order.term)
        if order.kind == "stop":
            self._stop(order)
        else:
            self._start(order)

    def _stop(self, order: Order) -> None:
        session, epoch = order.session, order.epoch
        self._epochs[session] = max(epoch, self._epochs.get(session, 0))
        self._clock.after(
            self._conditions.random.uniform(0.01, 0.3), lambda: self.stopped(session, epoch)
        )

    def _start(self, order: Order) -> None:
        session, epoch = order.session, order.epoch
        if epoch < self._epochs.get(session, 0) or not self._may_write():
            return
        if session in self.running:
            if self.running[session] == epoch:
                self._report("running", session, epoch, order.incarnation)
            return
        ended = self._epochs.get(session) == epoch
        if ended and not self._conditions.omitted.ended_epoch_restarts:
            # It has ended under this epoch, or was stopped before it started.
            self._report("stopped", session, epoch, order.incarnation)
            return
        self._epochs[session] = epoch
        self.running[session] = epoch
        self._clock.after(
            self._conditions.random.uniform(0.01, 0.4),
            lambda: self._report("running", session, epoch, order.incarnation),
        )
        self._write(session, epoch, order.incarnation)

    def stopped(self, session: int, epoch: int) -> None:
        """End a session's connection, and report that it has stopped."""
        if self.dead or not self._is_awake(lambda: self.stopped(session, epoch)):
            return
        if self.running.get(session, 0) <= epoch:
            self.running.pop(session, None)
        if session not in self.running:
            self._judge.close(session, self.incarnation)
        self._report("stopped", session, epoch, self.incarnation)

    def _write(self, session: int, epoch: int, incarnation: str) -> None:
        """A running session uses its connection, again and again."""
        if self.incarnation != incarnation or self.running.get(session) != epoch:
            return
        if not self._is_awake(lambda: self._write(session, epoch, incarnation)):
            return
        if not self._may_write():
            return
        self._judge.write(session, epoch, incarnation)
        self._clock.after(
            self._conditions.random.uniform(self._write_gap / 8, self._write_gap),
            lambda: self._write(session, epoch, incarnation),
        )

    def _report(self, kind: str, session: int, epoch: int, incarnation: str) -> None:
        """Send a report, which the node repeats until Redis has it: late, never lost."""
        report = Report(kind, session, epoch, incarnation)
        self._clock.after(self._conditions.delay(), lambda: self._redis.reports.append(report))
