"""Puts the stand-ins where the real code finds the world: time, threads, Redis, processes.

The process that runs schedules does nothing else, so nothing is ever put back, except
what a ``Broken`` rule replaces.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog
from simulation import threads
from simulation.clients import AsyncSimRedis, SimRedis, Wire
from simulation.node import HostProcess, Resources
from simulation.telegram import SimSession

from afx.cluster import leadership, witness
from afx.coordinator import database_outage, loop, orders, overflow, term
from afx.node import (
    death_watcher,
    executor,
    heartbeat,
    host,
    process_group,
    session_runner,
    supervisor,
)
from models import base

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulation.cluster import Cluster

_original_utc_now = base.utc_now


def install(cluster: Cluster) -> None:
    """Let the real code run in one schedule."""
    hub = cluster.hub

    def connect(_url: str, *, timeout_seconds: float = 5.0, decode: bool = True) -> Any:
        return SimRedis(Wire(hub, cluster.network, timeout=timeout_seconds, decode=decode))

    def connect_async(_url: str, *, timeout_seconds: float = 5.0) -> Any:
        wire = Wire(hub, cluster.network, timeout=timeout_seconds, decode=True)
        assert hub.current is not None
        return AsyncSimRedis(wire, hub.current)

    for module in (loop, leadership, heartbeat, supervisor, death_watcher, executor):
        module.connect = connect  # type: ignore[attr-defined]
    host.connect_async = connect_async  # type: ignore[attr-defined]
    threading = threads.Threading(hub)
    for module in (loop, leadership, death_watcher, executor, process_group):
        module.threading = threading  # type: ignore[attr-defined]
    for module in (heartbeat, process_group):
        module.queue = threads.Queue(hub)  # type: ignore[attr-defined]
    heartbeat.ThreadPoolExecutor = lambda *_: threads.Pool(hub)  # type: ignore[attr-defined]
    _install_processes(cluster)
    _install_time_and_ids(cluster)
    session_runner.HostedSession = SimSession  # type: ignore[attr-defined,misc,assignment]
    session_runner.StoredSession = (  # type: ignore[attr-defined,misc]
        lambda _login, cursors, _hashes: SimpleNamespace(
            cursors=cursors, server_address="149.154.167.50", port=443
        )
    )
    session_runner.os = SimpleNamespace(write=lambda pipe, data: pipe.append(data))  # type: ignore[attr-defined]
    # No session of a schedule makes links.
    term.LinkCopies = lambda *_, **__: SimpleNamespace(step=lambda _: None)  # type: ignore[attr-defined,misc,assignment]
    # No job of a schedule is refused; looking for some would shift what follows from a seed.
    term.JobRefusals = lambda *_: SimpleNamespace(step=lambda *_: None)  # type: ignore[attr-defined,misc,assignment]
    loop.Coordinator._note_unforeseen = _raise_again  # type: ignore[method-assign]
    # No schedule has webhooks; looking for deliveries would shift what follows from a seed, too.
    term.WebhookSender = lambda *_, **__: SimpleNamespace(  # type: ignore[attr-defined,misc,assignment]
        note=lambda _: None, step=lambda _: None, close=lambda: None
    )
    for module in (loop, database_outage):
        module.reopen_database = lambda: None  # type: ignore[attr-defined]
    SimSession.telegram = cluster.telegram
    HostProcess.cluster = cluster
    _install_logs(cluster)


def _raise_again(_: object) -> None:
    """A schedule in which a coordinator meets an error that nobody foresaw is a violation."""
    raise  # noqa: PLE0704  it is called while the error is handled


def _install_processes(cluster: Cluster) -> None:
    hub = cluster.hub
    supervisor.HostProcess = HostProcess  # type: ignore[attr-defined,misc,assignment]
    supervisor.Resources = Resources  # type: ignore[attr-defined,misc,assignment]
    process_group.signal = SimpleNamespace(signal=lambda *_: None, SIGTERM=15, SIGINT=2)  # type: ignore[attr-defined]
    supervisor.os = SimpleNamespace(getpid=lambda: hub.check_alive().pid)  # type: ignore[attr-defined]
    leadership.os = supervisor.os  # type: ignore[attr-defined]

    def boot_id() -> str:
        return hub.check_alive().machine.boot_id

    def open_process(pid: int, _started: str) -> int | None:
        machine = hub.check_alive().machine
        if machine.hides_processes:
            raise witness._CannotJudgeError
        process = machine.processes.get(pid)
        return pid if process and process.alive else None

    witness.boot_id = boot_id  # type: ignore[assignment]
    death_watcher.boot_id = boot_id  # type: ignore[attr-defined]
    witness.pid_namespace = lambda: "pid:[1]"  # type: ignore[assignment]
    witness._open = open_process
    witness._has_ended = lambda pid: not hub.check_alive().machine.processes[pid].alive
    witness._started = lambda _pid: "1"
    witness.os = SimpleNamespace(close=lambda _: None)  # type: ignore[attr-defined]


def _install_time_and_ids(cluster: Cluster) -> None:
    def utc_now() -> datetime:
        return datetime.fromtimestamp(cluster.wall_clock(), UTC)

    for name, module in list(sys.modules.items()):
        if name.startswith("models") and hasattr(module, "utc_now"):
            module.utc_now = utc_now  # type: ignore[attr-defined]

    def uuid4() -> UUID:
        return UUID(int=cluster.ids.getrandbits(128))

    for module in (leadership, supervisor):
        module.uuid = SimpleNamespace(uuid4=uuid4)  # type: ignore[attr-defined]
    for module in (orders, overflow):
        module.uuid4 = uuid4  # type: ignore[attr-defined]


def _install_logs(cluster: Cluster) -> None:
    def keep(_logger: Any, level: str, event: dict[str, Any]) -> Any:
        hub = cluster.hub
        actor = hub.current.name if hub.current else "?"
        name = event.pop("event")
        hub.trace(f"  {actor} {level} {name} " + " ".join(f"{k}={v}" for k, v in event.items()))
        raise structlog.DropEvent

    level = 10 if cluster.hub.lines is not None else 50
    structlog.configure(
        processors=[keep],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )


@contextmanager
def replaced(target: Any, name: str, value: Any) -> Iterator[None]:
    """Replace an attribute of the real code for a while."""
    before = target.__dict__[name] if isinstance(target, type) else getattr(target, name)
    setattr(target, name, value)
    try:
        yield
    finally:
        setattr(target, name, before)


Replacement = Callable[..., Any]
assert os.environ.get("PYTHONHASHSEED") == "0", "schedules need PYTHONHASHSEED=0 to be repeatable"
# What a killed process leaves is collected when nothing of it can run any more.
sys.unraisablehook = lambda _: None
