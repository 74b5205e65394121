"""The supervisor: holds the lease of a host process and watches over it.

Each incarnation is one host process and one lease. When the host dies, or the lease
is lost, the incarnation ends and, unless the node is to stop, a new one begins. A node
that is recycled restarts as a whole, with the program that is on the disk by then.

A node may have several host processes (``process_group``): each has a supervisor of this
kind, on a thread of its own, and all share what the node may use.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import uuid
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from types import FrameType

import redis
import structlog

from afx import lease
from afx.clock import SYSTEM_CLOCK, Clock
from afx.cluster import witness
from afx.cluster.connection import connect, shown
from afx.cluster.redis_faults import SENTENCES, fault_of
from afx.cluster.registry import MissingError, Registry
from afx.cluster.worker_records import Identity, Metrics
from afx.errors import FencedError, NameTakenError, UnreachableError
from afx.node.death_watcher import DeathWatcher, SeenDeaths
from afx.node.heartbeat import Answer, Heartbeater
from afx.node.host_launcher import HostProcess
from afx.node.node_figures import NodeFigures
from afx.node.process_plan import share
from afx.node.redis_trouble import RedisTrouble
from afx.node.resources import Resources
from afx.node_settings import NodeSettings
from afx.probes import Probed, answering

_MIB = 1024 * 1024
_REGISTER_SECONDS = 25.0
_STOP_SECONDS = 20.0
_RETRY_SECONDS, _RETRY_MAX = 0.5, 8.0
_LEAST_TASK_SLOTS = 4
_SHORT_SHARE = 0.1
"""A host of whose RAM so little is free gives back what it does not need."""

log = structlog.get_logger()


class Ending(StrEnum):
    """Why an incarnation ended."""

    STOPPED = "stopped"
    RECYCLED = "recycled"
    HOST_DIED = "host_died"
    FENCED = "fenced"
    LEASE_OVER = "lease_over"
    UNSURE = "unsure"
    """Its registration got no answer, but may have been made."""


class Supervisor:
    """Runs one host process of a node until it is requested to stop."""

    def __init__(
        self,
        settings: NodeSettings,
        redis_url: str,
        name: str,
        clock: Clock = SYSTEM_CLOCK,
        *,
        place: int = 1,
        replaces: str = "",
        seen_deaths: SeenDeaths | None = None,
        on_state: Callable[[], None] = lambda: None,
    ) -> None:
        """``name`` is the process's; ``settings`` are the node's, which its processes share.

        ``place``, from 1, says which share of what the node may use it has. ``replaces`` is the
        incarnation of which it takes over the sessions. ``seen_deaths`` is what its death
        watcher shares with those of the other processes. ``on_state`` is called when
        ``desired_state`` has changed, and when an incarnation has its lease.
        """
        self._processes = max(1, settings.processes)
        slots = max(_LEAST_TASK_SLOTS, math.ceil(settings.task_slots / self._processes))
        self._settings = replace(settings, task_slots=slots)
        self._max_sessions = max(1, share(settings.max_sessions, self._processes, place))
        self._clock = clock
        self._redis_url = redis_url
        self._name = name
        # One client, so one connection while the network is fast: see docs/operate.md.
        self._redis = connect(redis_url, timeout_seconds=settings.lease.node)
        self._registry = Registry(self._redis)
        self._death_watcher = DeathWatcher(self._redis, name, seen_deaths)
        self._heartbeater = Heartbeater(
            self._redis, settings, clock, after_beat=self._death_watcher.watch
        )
        self._redis_trouble = RedisTrouble(lambda _: None)
        self._figures = NodeFigures(name, clock)
        self._stopping = False
        self._replaces = replaces
        self._retiring = False
        self._on_state = on_state
        self.has_joined = False
        """Whether an incarnation of it has had a lease."""
        self.incarnation = ""
        """The present one, or the last."""
        self.desired_state = "ready"
        """What the last heartbeat answered."""

    def request_stop(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Stop all sessions and end, as soon as that is possible."""
        self._stopping = True
        self._heartbeater.wake()

    def retire(self) -> None:
        """Let the present incarnation be the last one: another process takes its sessions."""
        self._retiring = True

    def run(self) -> bool:
        """Run one incarnation after another until a stop is requested.

        Returns True when the node was recycled, and has to be restarted. Raises
        UnreachableError when Redis does not answer at the start, or when the name
        stays taken by another node.
        """
        signal.signal(signal.SIGTERM, self.request_stop)
        signal.signal(signal.SIGINT, self.request_stop)
        with answering(self._settings.metrics_address, self.probed()):
            return self.serve()

    def probed(self) -> Probed:
        """Return what probes show of it."""
        return self._figures.probed()

    def serve(self) -> bool:
        """Do what ``run`` does, for a caller that handles signals and probes itself."""
        until: float | None = self._clock.monotonic() + _REGISTER_SECONDS
        pause = _RETRY_SECONDS
        try:
            while not self._stopping:
                self.incarnation = incarnation = uuid.uuid4().hex
                self.desired_state = "ready"  # what was requested of an earlier one has ended
                ending = self._live(incarnation, until)
                self._figures.note_end(ending)
                if ending is not Ending.UNSURE:
                    until = None  # it has been registered: from now on it waits for Redis
                    pause = _RETRY_SECONDS
                log.info("incarnation_ended", node=self._name, ending=ending)
                if ending is Ending.RECYCLED or (self._retiring and not self._stopping):
                    return True
                if ending is not Ending.STOPPED:
                    # Each incarnation costs the start of a process.
                    self._rest(pause)
                    pause = min(_RETRY_MAX, pause * 2)
            return False
        finally:
            self._heartbeater.close()
            self._death_watcher.close()

    def _rest(self, seconds: float) -> None:
        until = self._clock.monotonic() + seconds
        while not self._stopping and (left := until - self._clock.monotonic()) > 0:
            self._figures.note_alive()
            self._heartbeater.answer(left)

    def _live(self, incarnation: str, until: float | None) -> Ending:
        host = HostProcess(
            self._settings,
            redis_url=self._redis_url,
            node=self._name,
            incarnation=incarnation,
            on_exit=self._heartbeater.wake,
        )
        self._figures.note_begin(host.memory)
        try:
            resources = Resources(
                os.getpid(),
                host.pid,
                self._settings.ram_limit_mib * _MIB,
                processes=self._processes,
            )
            empty_rss = self._metrics(resources, host).rss
            identity = self._identity(incarnation, host.pid, empty_rss)
            ending = self._register(identity, host, resources, until)
            if ending is None:
                self._figures.note_registered()
                log.info("node_ready", node=self._name, incarnation=incarnation, host=host.pid)
                ending = self._hold_lease(identity, host, resources)
        finally:
            # Whatever happened: no host outlives its incarnation.
            host.close()
        # The host is gone (waitpid said so): its sessions are free at once.
        with contextlib.suppress(redis.RedisError):
            self._registry.leave(self._name, incarnation)
        return ending

    def _identity(self, incarnation: str, host: int, empty_rss: int) -> Identity:
        return Identity(
            name=self._name,
            incarnation=incarnation,
            hostname=socket.gethostname(),
            boot_id=witness.boot_id(),
            pid_namespace=witness.pid_namespace(),
            processes=witness.describe([os.getpid(), host]),
            max_sessions=self._max_sessions,
            labels=self._settings.labels,
            shares=self._processes,
            replaces=self._replaces,
            empty_rss=empty_rss,
        )

    def _register(
        self,
        identity: Identity,
        host: HostProcess,
        resources: Resources,
        until: float | None,
    ) -> Ending | None:
        """Register, waiting for an old incarnation to be fenced; None when done.

        The host has no lease before, and does nothing. A try that got no answer may
        have reached Redis all the same, and sessions may be placed on it by now, and
        on others later: an incarnation does not try twice. Raises UnreachableError
        when ``until`` (monotonic seconds) has passed.
        """
        while not self._stopping:
            problem = self._problem_with_redis()
            if not problem:
                sent_at = self._clock.boottime()
                try:
                    if self._registry.register(identity, self._metrics(resources, host)):
                        self._redis_trouble.passed("registration")
                        self._renew(host, sent_at)
                        self.has_joined = True
                        self._on_state()
                        return None
                except FencedError:
                    return Ending.FENCED
                except redis.RedisError as error:
                    self._redis_trouble.failed("registration", error)
                    if until and self._clock.monotonic() > until:
                        raise UnreachableError(
                            f"This node cannot join the cluster: {SENTENCES[fault_of(error)]}."
                        ) from error
                    return Ending.UNSURE
                if until and self._clock.monotonic() > until:
                    raise NameTakenError(
                        "This node cannot join the cluster: "
                        f"a node named {self._name} is running already; choose another --name."
                    )
            elif until and self._clock.monotonic() > until:
                raise UnreachableError(f"This node cannot join the cluster: {problem}.")
            self._rest(_RETRY_SECONDS)
        return Ending.STOPPED

    def _problem_with_redis(self) -> str:
        try:
            self._redis.ping()
        except redis.RedisError as error:
            return f"Redis at {shown(self._redis_url)} does not answer ({error})"
        return ""

    def _hold_lease(self, identity: Identity, host: HostProcess, resources: Resources) -> Ending:
        """Send heartbeats until the incarnation ends; returns why it did."""
        asked_to_stop = beat_due = 0.0
        last = Answer(identity.incarnation, self._clock.boottime())
        while True:
            self._figures.note_alive()
            now = self._clock.boottime()
            if now >= host.memory.deadline:
                return Ending.LEASE_OVER
            if host.has_ended:
                return self._requested_ending() if asked_to_stop else Ending.HOST_DIED
            # Read once: the host may set it for the first time at this moment.
            host_beat = host.memory.host_beat
            if host_beat and now - host_beat > self._settings.host_stall_seconds:
                log.error("host_stalled", node=self._name)
                return Ending.HOST_DIED
            if now >= beat_due:
                beat_due = now + self._settings.heartbeat_seconds
                metrics = self._metrics(resources, host)
                self._heartbeater.beat(
                    identity,
                    metrics,
                    host.started_sessions(),
                    last.desired_state,
                    redis_fault=host.memory.redis_fault,
                )
            answer = self._heartbeater.answer(beat_due - self._clock.boottime())
            if answer and answer.incarnation == identity.incarnation:
                if isinstance(answer.error, FencedError):
                    return Ending.FENCED
                # Answers may overtake each other.
                if answer.sent_at > last.sent_at:
                    last = self._take(answer, last, identity, host, resources)
            if last.desired_state != self.desired_state:
                self.desired_state = last.desired_state
                beat_due = now  # the next heartbeat acknowledges it: somebody waits for that
                self._on_state()
            if last.desired_state == "stopping":
                self._stopping = True
            if (self._stopping or last.desired_state == "recycling") and not asked_to_stop:
                host.terminate()
                asked_to_stop = now
            if asked_to_stop and now - asked_to_stop > _STOP_SECONDS:
                return self._requested_ending()

    def _requested_ending(self) -> Ending:
        return Ending.STOPPED if self._stopping else Ending.RECYCLED

    def _take(
        self,
        answer: Answer,
        before: Answer,
        identity: Identity,
        host: HostProcess,
        resources: Resources,
    ) -> Answer:
        """Renew the lease if a heartbeat has; returns the answer to go by from now on."""
        if answer.error is None:
            self._redis_trouble.passed("heartbeat")
            self._figures.note_heartbeat("", answer.desired_state)
            # A lease that is over stays over: a Redis that failed over may have lost
            # that this incarnation was fenced.
            if self._clock.boottime() < host.memory.deadline:
                self._renew(host, answer.sent_at)
            return answer
        if isinstance(answer.error, MissingError):
            self._figures.note_heartbeat("missing", "")
            # No one can have taken over within our own lease: a leader waits for a
            # whole takeover's time before it gives away what has no record.
            self._register_again(identity, host, resources)
            sent_at = self._clock.boottime()  # what was sent before met the same loss
        else:
            self._redis_trouble.failed("heartbeat", answer.error)
            self._figures.note_heartbeat(fault_of(answer.error), "")
            sent_at = before.sent_at
        return Answer(identity.incarnation, sent_at, before.desired_state, answer.error)

    def _register_again(self, identity: Identity, host: HostProcess, resources: Resources) -> None:
        sent_at = self._clock.boottime()
        with contextlib.suppress(redis.RedisError, FencedError):
            registered = self._registry.register(identity, self._metrics(resources, host))
            if registered and self._clock.boottime() < host.memory.deadline:
                self._renew(host, sent_at)
                host.memory.note_loss()
                log.warning("registered_again", node=self._name, reason="Redis lost its data")

    def _renew(self, host: HostProcess, sent_at: float) -> None:
        profile = self._settings.lease
        host.memory.renew(lease.quiet_from(sent_at, profile), lease.deadline(sent_at, profile))

    def _metrics(self, resources: Resources, host: HostProcess) -> Metrics:
        rss, free, limit, cpu = resources.sample()
        host.memory.note_short_of_ram(free < _SHORT_SHARE * limit)
        sessions, starting, forwarded = host.memory.counts()
        return Metrics(rss, free, limit, round(cpu, 4), sessions, starting, forwarded)
