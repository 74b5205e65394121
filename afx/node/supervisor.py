"""The supervisor: holds the node's lease and watches over its host process.

Each incarnation is one host process and one lease. When the host dies, or the
lease is lost, the incarnation ends and, unless the node is to stop, a new one
begins. A node that is recycled begins anew altogether: with the program as it is
on the disk by then.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from types import FrameType
from typing import Literal

import redis
import structlog

from afx import lease
from afx.cluster import witness
from afx.cluster.connection import connect, shown
from afx.cluster.registry import Identity, Metrics, MissingError, Registry
from afx.config import Settings
from afx.errors import FencedError, UnreachableError
from afx.node.death_watcher import DeathWatcher
from afx.node.heartbeat import Answer, Heartbeater
from afx.node.lease_memory import LeaseMemory
from afx.node.resources import Resources
from afx.security.keyfile import read_keys

_MIB = 1024 * 1024
_REGISTER_SECONDS = 25.0
_STOP_SECONDS = 20.0
_AGAIN_SECONDS = 0.5

log = structlog.get_logger()
Ending = Literal["stopped", "recycled", "host_died", "fenced", "lease_over", "unsure"]


class Supervisor:
    """Runs one node until it is told to stop."""

    def __init__(self, settings: Settings, redis_url: str, name: str) -> None:
        self._settings = settings
        self._redis_url = redis_url
        self._name = name
        self._redis = connect(redis_url, timeout_seconds=settings.lease.node)
        self._registry = Registry(self._redis)
        self._heartbeater = Heartbeater(redis_url, settings)
        self._stopping = False

    def request_stop(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Stop all sessions and end, as soon as that is possible."""
        self._stopping = True
        self._heartbeater.wake()

    def run(self) -> bool:
        """Live as one incarnation after another, until told to stop.

        True when the node was recycled, and is to begin anew. Raises UnreachableError
        when Redis does not answer at the start, or the name stays taken by another node.
        """
        signal.signal(signal.SIGTERM, self.request_stop)
        signal.signal(signal.SIGINT, self.request_stop)
        until: float | None = time.monotonic() + _REGISTER_SECONDS
        neighbours = DeathWatcher(self._redis_url, self._name, self._settings)
        try:
            while not self._stopping:
                incarnation = uuid.uuid4().hex
                ending = self._live(incarnation, until)
                if ending != "unsure":
                    until = None  # it has been a node: from now on it waits for Redis
                log.info("incarnation_ended", node=self._name, ending=ending)
                if ending == "recycled":
                    return True
                if ending != "stopped":
                    self._rest(_AGAIN_SECONDS)
            return False
        finally:
            neighbours.close()
            self._heartbeater.close()
            self._redis.close()

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopping and (left := until - time.monotonic()) > 0:
            self._heartbeater.answer(left)

    def _live(self, incarnation: str, until: float | None) -> Ending:
        memory = LeaseMemory()
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        host = self._spawn_host(incarnation, memory, writer)
        os.close(writer)
        watcher = threading.Thread(target=self._wake_at_end_of, args=[host.pid], name="watcher")
        watcher.start()
        try:
            who = self._identity(incarnation, host.pid)
            resources = Resources([os.getpid(), host.pid], self._settings.ram_limit_mib * _MIB)
            ending = self._register(who, resources, memory, until)
            if ending is None:
                log.info("node_ready", node=self._name, incarnation=incarnation, host=host.pid)
                ending = self._hold_lease(who, host, memory, resources, reader)
        finally:
            # Whatever happened: no host outlives its incarnation.
            host.kill()
            host.wait()
            watcher.join()
            os.close(reader)
            os.close(memory.descriptor)
            if host.stdout:
                host.stdout.close()
        # The host is gone (waitpid said so): its sessions are free at once.
        with contextlib.suppress(redis.RedisError):
            self._registry.leave(self._name, incarnation)
        return ending

    def _wake_at_end_of(self, pid: int) -> None:
        with contextlib.suppress(ChildProcessError):  # it has been waited for already
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        self._heartbeater.wake()

    def _spawn_host(
        self, incarnation: str, memory: LeaseMemory, settled: int
    ) -> subprocess.Popen[str]:
        settings = self._settings.model_dump(mode="json", exclude={"secret_key"})
        settings["api_hash"] = self._settings.api_hash.get_secret_value()
        orders = {
            "settings": settings,
            "redis_url": self._redis_url,
            "node": self._name,
            "incarnation": incarnation,
            "memory": memory.descriptor,
            "settled_pipe": settled,
            "supervisor": os.getpid(),
            "keys": read_keys(
                self._settings.home, self._settings.secret_key.get_secret_value(), create=False
            ),
        }
        host = subprocess.Popen(
            [sys.executable, "-m", "afx.node.host_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=(memory.descriptor, settled),
        )
        assert host.stdin is not None and host.stdout is not None
        host.stdin.write(json.dumps(orders) + "\n")
        host.stdin.close()
        if not host.stdout.readline():
            host.wait()
            raise UnreachableError("The host process did not start; its log is above.")
        return host

    def _identity(self, incarnation: str, host: int) -> Identity:
        return Identity(
            name=self._name,
            incarnation=incarnation,
            hostname=socket.gethostname(),
            boot_id=witness.boot_id(),
            pid_namespace=witness.pid_namespace(),
            processes=witness.describe([os.getpid(), host]),
            max_sessions=self._settings.max_sessions,
            labels=self._settings.labels,
        )

    def _register(
        self, who: Identity, resources: Resources, memory: LeaseMemory, until: float | None
    ) -> Ending | None:
        """Register, waiting for an old incarnation to be fenced; None when done.

        The host has no lease before, and does nothing. A try that got no answer may
        have reached Redis all the same, and sessions may be placed on it by now, and
        on others later: an incarnation does not try twice. Raises UnreachableError
        when ``until`` (monotonic seconds) has come.
        """
        while not self._stopping:
            problem = self._problem_with_redis()
            if not problem:
                sent_at = lease.now()
                try:
                    if self._registry.register(who, self._metrics(resources, memory)):
                        self._renew(memory, sent_at)
                        return None
                except FencedError:
                    return "fenced"
                except redis.RedisError as error:
                    log.warning("registration_unanswered", node=self._name, reason=str(error))
                    return "unsure"
                problem = f"a node named {self._name} lives already; choose another --name"
            if until and time.monotonic() > until:
                raise UnreachableError(f"This node cannot join the cluster: {problem}.")
            self._rest(_AGAIN_SECONDS)
        return "stopped"

    def _problem_with_redis(self) -> str:
        try:
            self._redis.ping()
        except redis.RedisError as error:
            return f"Redis at {shown(self._redis_url)} does not answer ({error})"
        return ""

    def _hold_lease(
        self,
        who: Identity,
        host: subprocess.Popen[str],
        memory: LeaseMemory,
        resources: Resources,
        settled: int,
    ) -> Ending:
        """Beat until the incarnation ends; says why it did."""
        asked_to_stop = beat_due = 0.0
        heard = Answer(who.incarnation, lease.now())
        while True:
            now = lease.now()
            if now >= memory.deadline:
                return "lease_over"
            if host.poll() is not None:
                if not asked_to_stop:
                    return "host_died"
                return "stopped" if self._stopping else "recycled"
            # Read once: the host may set it for the first time at this moment.
            turned_at = memory.host_beat
            if turned_at and now - turned_at > self._settings.host_stall_seconds:
                log.error("host_stalled", node=self._name)
                return "host_died"
            if now >= beat_due:
                beat_due = now + self._settings.heartbeat_seconds
                metrics = self._metrics(resources, memory)
                self._heartbeater.beat(
                    who, metrics, _settled_sessions(settled), heard.desired_state
                )
            answer = self._heartbeater.answer(beat_due - lease.now())
            if answer and answer.incarnation == who.incarnation:
                if isinstance(answer.error, FencedError):
                    return "fenced"
                # Answers may overtake each other.
                if answer.sent_at > heard.sent_at:
                    heard = self._hear(answer, heard, who, memory, resources)
            if heard.desired_state == "stopping":
                self._stopping = True
            if (self._stopping or heard.desired_state == "recycling") and not asked_to_stop:
                host.send_signal(signal.SIGTERM)
                asked_to_stop = now
            if asked_to_stop and now - asked_to_stop > _STOP_SECONDS:
                return "stopped" if self._stopping else "recycled"

    def _hear(
        self,
        answer: Answer,
        before: Answer,
        who: Identity,
        memory: LeaseMemory,
        resources: Resources,
    ) -> Answer:
        """Renew the lease if a heartbeat has; returns what was heard last."""
        if answer.error is None:
            # A lease that is over stays over: a Redis that failed over may have lost
            # that this incarnation was fenced.
            if lease.now() < memory.deadline:
                self._renew(memory, answer.sent_at)
            return answer
        if isinstance(answer.error, MissingError):
            # Within our own lease nobody can have taken over: a leader gives
            # what has no record a whole takeover's time first.
            self._register_again(who, memory, resources)
            sent_at = lease.now()  # what was sent before met the same loss
        else:
            if not before.error:
                log.warning("heartbeat_failed", node=self._name, reason=str(answer.error))
            sent_at = before.sent_at
        return Answer(who.incarnation, sent_at, before.desired_state, answer.error)

    def _register_again(self, who: Identity, memory: LeaseMemory, resources: Resources) -> None:
        sent_at = lease.now()
        with contextlib.suppress(redis.RedisError, FencedError):
            registered = self._registry.register(who, self._metrics(resources, memory))
            if registered and lease.now() < memory.deadline:
                self._renew(memory, sent_at)
                memory.note_loss()
                log.warning("registered_again", node=self._name, reason="Redis lost its data")

    def _renew(self, memory: LeaseMemory, sent_at: float) -> None:
        profile = self._settings.lease
        memory.renew(lease.quiet_from(sent_at, profile), lease.deadline(sent_at, profile))

    def _metrics(self, resources: Resources, memory: LeaseMemory) -> Metrics:
        rss, free, limit, cpu = resources.sample()
        sessions, starting, forwarded = memory.counts()
        return Metrics(rss, free, limit, round(cpu, 4), sessions, starting, forwarded)


def _settled_sessions(reader: int) -> list[int]:
    """Return the sessions that the host has started since the last call."""
    try:
        data = os.read(reader, 1 << 16)
    except BlockingIOError:
        return []
    return [int(line) for line in data.split() if line]
