"""The supervisor: holds the node's lease and watches over its host process.

Each incarnation is one host process and one lease. When the host dies, or the
lease is lost, the incarnation ends and, unless the node is to stop, a new one
begins.
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
from afx.cluster import reports, witness
from afx.cluster.connection import connect, shown
from afx.cluster.registry import (
    LIVE_STATES,
    Identity,
    Metrics,
    MissingError,
    Registry,
    WorkerState,
)
from afx.cluster.reports import Report
from afx.config import Settings
from afx.errors import FencedError, UnreachableError
from afx.node.lease_memory import LeaseMemory
from afx.node.resources import Resources
from afx.security.keyfile import read_keys

_MIB = 1024 * 1024
_REGISTER_SECONDS = 30.0
_HOST_READY_SECONDS = 30.0
_STOP_SECONDS = 20.0
_AGAIN_SECONDS = 0.5

log = structlog.get_logger()
Ending = Literal["stopped", "recycled", "host_died", "fenced", "lease_over"]


class Supervisor:
    """Runs one node until it is told to stop."""

    def __init__(self, settings: Settings, redis_url: str, name: str) -> None:
        self._settings = settings
        self._redis_url = redis_url
        self._name = name
        # A heartbeat that hangs must not outlast what it would have renewed.
        self._redis = connect(redis_url, timeout_seconds=settings.lease.node / 2)
        self._registry = Registry(self._redis)
        self._witness = witness.Witness()
        self._witnessed: set[str] = set()
        self._stop = threading.Event()

    def request_stop(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Stop all sessions and end, as soon as that is possible."""
        self._stop.set()

    def run(self) -> None:
        """Live as one incarnation after another, until told to stop.

        Raises UnreachableError when Redis does not answer at the start, or the
        name stays taken by another node.
        """
        signal.signal(signal.SIGTERM, self.request_stop)
        signal.signal(signal.SIGINT, self.request_stop)
        first = True
        try:
            while not self._stop.is_set():
                incarnation = uuid.uuid4().hex
                ending = self._live(incarnation, first=first)
                first = False
                log.info("incarnation_ended", node=self._name, ending=ending)
                if ending not in ("stopped", "recycled"):
                    self._stop.wait(_AGAIN_SECONDS)
        finally:
            self._witness.close()
            self._redis.close()

    def _live(self, incarnation: str, *, first: bool) -> Ending:
        memory = LeaseMemory()
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        host = self._spawn_host(incarnation, memory, writer)
        os.close(writer)
        try:
            who = self._identity(incarnation, host.pid)
            resources = Resources([os.getpid(), host.pid], self._settings.ram_limit_mib * _MIB)
            if not self._register(who, resources, memory, first=first):
                return "stopped"
            log.info("node_ready", node=self._name, incarnation=incarnation, host=host.pid)
            ending = self._hold_lease(who, host, memory, resources, reader)
        finally:
            # Whatever happened: no host outlives its incarnation.
            host.kill()
            host.wait()
            os.close(reader)
            os.close(memory.descriptor)
            if host.stdout:
                host.stdout.close()
        # The host is gone (waitpid said so): its sessions are free at once.
        with contextlib.suppress(redis.RedisError):
            self._registry.leave(self._name, incarnation)
        return ending

    def _spawn_host(
        self, incarnation: str, memory: LeaseMemory, settled: int
    ) -> subprocess.Popen[str]:
        settings = self._settings.model_dump(mode="json", exclude={"secret_key"})
        settings["api_hash"] = self._settings.api_hash.get_secret_value()
        orders = {
            "settings": settings, "redis_url": self._redis_url, "node": self._name,
            "incarnation": incarnation, "memory": memory.descriptor, "settled_pipe": settled,
            "supervisor": os.getpid(),
            "keys": read_keys(
                self._settings.home, self._settings.secret_key.get_secret_value(), create=False
            ),
        }  # fmt: skip
        # Until it is registered the host may not write: its deadline is past.
        memory.renew(lease.now() + _REGISTER_SECONDS, lease.now() + _REGISTER_SECONDS)
        host = subprocess.Popen(
            [sys.executable, "-m", "afx.node.hostmain"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            pass_fds=(memory.descriptor, settled),
        )  # fmt: skip
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
        self, who: Identity, resources: Resources, memory: LeaseMemory, *, first: bool
    ) -> bool:
        """Register, waiting for an old incarnation to be fenced; False on stop."""
        until = time.monotonic() + _REGISTER_SECONDS - 5
        while not self._stop.is_set():
            sent_at = lease.now()
            try:
                if self._registry.register(who, self._metrics(resources, memory)):
                    self._renew(memory, sent_at)
                    return True
                problem = f"a node named {self._name} lives already; choose another --name"
            except redis.RedisError as error:
                problem = f"Redis at {shown(self._redis_url)} does not answer ({error})"
            if first and time.monotonic() > until:
                raise UnreachableError(f"This node cannot join the cluster: {problem}.")
            memory.renew(lease.now() + _REGISTER_SECONDS, lease.now() + _REGISTER_SECONDS)
            self._stop.wait(_AGAIN_SECONDS)
        return False

    def _hold_lease(
        self,
        who: Identity,
        host: subprocess.Popen[str],
        memory: LeaseMemory,
        resources: Resources,
        settled: int,
    ) -> Ending:
        """Beat until the incarnation ends; says why it did."""
        asked_to_stop = 0.0
        wanted: WorkerState = "ready"
        while True:
            started = time.monotonic()
            if host.poll() is not None:
                if not asked_to_stop:
                    return "host_died"
                return "stopped" if self._stop.is_set() else "recycled"
            if lease.now() >= memory.deadline:
                return "lease_over"
            if lease.now() - memory.host_beat > self._settings.host_stall_seconds > 0:
                if memory.host_beat:
                    log.error("host_stalled", node=self._name)
                    return "host_died"
            sent_at = lease.now()
            try:
                _term, wanted = self._registry.beat(
                    who, self._metrics(resources, memory), _settled_sessions(settled), wanted
                )
                self._renew(memory, sent_at)
                if wanted == "stopping":
                    self._stop.set()
                self._bear_witness(who)
            except FencedError:
                return "fenced"
            except MissingError:
                # Within our own lease nobody can have taken over: a leader gives
                # what has no record a whole takeover's time first.
                if lease.now() < memory.deadline:
                    self._register_again(who, memory, resources)
            except redis.RedisError as error:
                log.warning("heartbeat_failed", node=self._name, reason=str(error))
            over = self._stop.is_set() or wanted == "recycling"
            if over and not asked_to_stop:
                host.send_signal(signal.SIGTERM)
                asked_to_stop = time.monotonic()
            if asked_to_stop and time.monotonic() - asked_to_stop > _STOP_SECONDS:
                return "stopped" if self._stop.is_set() else "recycled"
            rest = self._settings.heartbeat_seconds - (time.monotonic() - started)
            if asked_to_stop:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    host.wait(max(0.01, rest))
            else:
                self._stop.wait(max(0.01, rest))

    def _register_again(self, who: Identity, memory: LeaseMemory, resources: Resources) -> None:
        sent_at = lease.now()
        with contextlib.suppress(redis.RedisError):
            if self._registry.register(who, self._metrics(resources, memory)):
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

    def _bear_witness(self, who: Identity) -> None:
        """Report nodes of this machine whose processes have all gone."""
        others = [
            it
            for it in self._registry.on_machine(who.boot_id)
            if it.name != who.name and it.state in LIVE_STATES
        ]
        dead = self._witness.dead(others)
        fresh = dead - self._witnessed
        found = [
            Report("died", it.name, it.incarnation) for it in others if it.incarnation in fresh
        ]
        if found:
            reports.publish(self._redis, found)
            self._witnessed |= fresh


def _settled_sessions(reader: int) -> list[int]:
    """Return the sessions that the host has started since the last call."""
    try:
        data = os.read(reader, 1 << 16)
    except BlockingIOError:
        return []
    return [int(line) for line in data.split() if line]
