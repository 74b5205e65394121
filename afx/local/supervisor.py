"""Restarts the services of `afx up` that end, until it is stopped or one keeps ending."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from afx.errors import AfxError
from afx.local import private_redis
from afx.local.processes import Child, LocalProcesses
from afx.local.restart_policy import GiveUp, RestartPolicy

_CHECK_SECONDS = 0.2


@dataclass(slots=True, frozen=True)
class Ending:
    """How a service ended."""

    description: str
    """Such as "was killed by SIGKILL"."""
    is_final: bool = False
    """An operator stopped it: it is not started again."""


class Service(Protocol):
    """What is started again when it ends."""

    name: str

    def start(self) -> None:
        """Start it; raises AfxError when that fails."""

    def ending(self) -> Ending | None:
        """Return how it ended; None while it runs."""


class ChildService:
    """A coordinator or a node."""

    def __init__(self, processes: LocalProcesses, name: str) -> None:
        self.name = name
        self._processes = processes

    def start(self) -> None:
        """Start it as before."""
        try:
            self._processes.restart(self.name)
        except OSError as error:
            raise AfxError(f"{self.name} cannot be started: {error.strerror}.") from error

    def ending(self) -> Ending | None:
        """Return how its process ended; exit code 0 of a node is an operator's stop."""
        child = self._processes.children[self.name]
        code = child.exit_code()
        return None if code is None else _describe(child, code)


class RedisService:
    """The private Redis of a home; another command may have started it."""

    name = "the private Redis"

    def __init__(self, home: Path) -> None:
        self._home = home
        self._started_here = False

    def start(self) -> None:
        """Start it unless another command has."""
        self._started_here |= private_redis.ensure(self._home)

    def stop(self) -> None:
        """Stop it, if it was started here."""
        if self._started_here:
            private_redis.stop(self._home)

    def ending(self) -> Ending | None:
        """Return that nothing listens at its socket any more."""
        return None if private_redis.is_listening(self._home) else Ending("has ended")


@dataclass(slots=True)
class _Watch:
    """What is known of one service."""

    service: Service
    started_at: float
    early_ends: int = 0
    restart_at: float | None = None
    """When it is started again; None while it runs."""


class LocalSupervisor:
    """Watches services, and restarts by a policy those that end."""

    def __init__(
        self,
        *,
        policy: RestartPolicy,
        notify: Callable[[str], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``notify`` gets one line for each end and each restart."""
        self._policy = policy
        self._notify = notify
        self._now = now
        self._stopping = threading.Event()
        self._also: list[Callable[[], None]] = []
        self._watches: list[_Watch] = []

    def watch(self, service: Service) -> None:
        """Watch a service that was started just now."""
        self._watches.append(_Watch(service, self._now()))

    def also(self, step: Callable[[], None]) -> None:
        """Call a function, which must not wait, between two checks."""
        self._also.append(step)

    def request_stop(self, *_: object) -> None:
        """Let ``run`` return."""
        self._stopping.set()

    def run(self) -> None:
        """Check until SIGINT or SIGTERM; raises AfxError when a service keeps ending."""
        for signal_id in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signal_id, self.request_stop)
        while not self._stopping.wait(_CHECK_SECONDS):
            self.check()
            for step in self._also:
                step()

    def check(self) -> None:
        """Look at each service once; raises AfxError when one keeps ending."""
        for watch in list(self._watches):
            if watch.restart_at is None:
                ending = watch.service.ending()
                if ending is not None:
                    self._ended(watch, ending)
            elif self._now() >= watch.restart_at:
                self._restart(watch)

    def _ended(self, watch: _Watch, ending: Ending) -> None:
        name = watch.service.name
        if ending.is_final:
            self._watches.remove(watch)
            self._notify(f"{name} {ending.description}")
            return
        now = self._now()
        decision = self._policy.decide(watch.early_ends, now - watch.started_at)
        if isinstance(decision, GiveUp):
            raise AfxError(
                f"{name} {ending.description}; it ended {decision.early_ends} times in a row, each "
                f"time within {self._policy.stable_seconds:g} s of its start, so the cluster is "
                "stopped. Its log says why."
            )
        watch.early_ends = decision.early_ends
        watch.restart_at = now + decision.delay_seconds
        self._notify(
            f"{name} {ending.description}; it is restarted in {decision.delay_seconds:g} s"
        )

    def _restart(self, watch: _Watch) -> None:
        watch.restart_at = None
        watch.started_at = self._now()
        try:
            watch.service.start()
        except AfxError as error:
            self._ended(watch, Ending(f"was not restarted ({str(error).rstrip('.')})"))


def _describe(child: Child, code: int) -> Ending:
    if code < 0:
        return Ending(f"was killed by signal {-code} ({signal.strsignal(-code)})")
    if code == 0 and child.role == "node":
        return Ending("has stopped and is not restarted", is_final=True)
    return Ending(f"ended with exit code {code}")
