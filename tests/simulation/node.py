"""A node: the real supervisor and the real host, each in a simulated process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from random import Random
from typing import TYPE_CHECKING, Any

from rq.exceptions import DequeueTimeout
from simulation.hub import Process, Signal
from simulation.virtual_loop import VirtualLoop

from afx.node import executor as executor_module
from afx.node.executor import Answer, Executor
from afx.node.host import Host
from afx.node.lease_memory import LeaseMemory
from afx.node.order_worker import OrderQueue
from afx.node_settings import NodeSettings
from afx.security.signing import SigningKeys

if TYPE_CHECKING:
    from simulation.cluster import Cluster

_SPAWN_SECONDS = 0.3
_WAIT_SECONDS = 0.02
_TAKE_SECONDS = 20
MIB = 1 << 20


class SimExecutor(Executor):
    """The real executor; its worker is a loop over the real queue, without RQ's threads."""

    def __init__(self, cluster: Cluster, host: Host, **parameters: Any) -> None:
        super().__init__(host, redis_url="", **parameters)
        self._cluster = cluster

    def _on_loop(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        done = Signal(self._cluster.hub)
        task = self._loop.create_task(work)
        task.add_done_callback(lambda _: done.set())
        done.wait()
        return task.result()

    def _work(self) -> None:
        client = executor_module.connect("", timeout_seconds=60.0, decode=False)
        queue = OrderQueue(
            self._queue, connection=client, gate=self._gate, is_stopping=self._stopped.is_set
        )
        queue.prepare()
        while not self._stopped.is_set():
            try:
                job = queue.take(_TAKE_SECONDS)
            except DequeueTimeout:
                continue
            client.lrem(queue.intermediate_queue_key, 1, job.id)
            job._execute()


class HostProcess:
    """Stands in for the launcher: starts a process in which the real host runs."""

    cluster: Cluster
    """The one of the schedule that runs; a schedule sets it."""

    def __init__(
        self,
        settings: NodeSettings,
        *,
        redis_url: str,
        node: str,
        incarnation: str,
        on_exit: Callable[[], None],
    ) -> None:
        cluster = self.cluster
        supervisor = cluster.hub.check_alive()
        cluster.hub.sleep(_SPAWN_SECONDS)
        self.memory = LeaseMemory()
        os.close(self.memory.descriptor)
        self._settings = settings
        self._settled: list[bytes] = []
        self.process = Process(cluster.hub, supervisor.machine, f"{node}/{incarnation[:6]}")
        self.process.lease_until = lambda: self.memory.deadline
        self.pid = self.process.pid
        self._loop = VirtualLoop(self.process)
        cluster.loops.append(self._loop)
        self.process.on_death += [
            self._loop.abandon,
            lambda: cluster.hub.after(0.01, _call_if_alive, supervisor, on_exit),
        ]
        supervisor.on_death.append(self.process.kill)  # PR_SET_PDEATHSIG
        cluster.note_host(self.process, node, incarnation)
        self._host: Host | None = None
        self._executor: SimExecutor | None = None
        self._loop.create_task(self._serve(node, incarnation)).add_done_callback(self._ended)

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return not self.process.alive

    def terminate(self) -> None:
        """Ask it to stop all sessions and end."""
        if self.process.alive:
            self._loop.call_soon(self._end)

    def started_sessions(self) -> list[int]:
        """Return the sessions that it has started since the last call."""
        settled, self._settled[:] = list(self._settled), []
        return [int(it) for it in settled]

    def close(self) -> None:
        """Kill it if it runs."""
        self.process.kill()

    async def _serve(self, node: str, incarnation: str) -> None:
        cluster = self.cluster
        self._host = Host(
            self._settings,
            redis_url="",
            node=node,
            incarnation=incarnation,
            memory=self.memory,
            vault=cluster.vault,
            settled_pipe=self._settled,  # type: ignore[arg-type]
            clock=cluster.clock(self.process.machine),
            rng=Random(f"{cluster.seed} {node} {incarnation}"),
            exit_process=lambda _: self.process.kill(),
        )
        self._executor = SimExecutor(
            cluster,
            self._host,
            node=node,
            incarnation=incarnation,
            keys=SigningKeys(cluster.vault.signing_keys()),
            clock=cluster.wall_clock,
            trouble=self._host.redis_trouble,
        )
        while not self.memory.deadline:
            await asyncio.sleep(_WAIT_SECONDS)
        self._executor.start()
        await self._host.run()
        self.process.kill()

    def _ended(self, served: asyncio.Task[None]) -> None:
        if not served.cancelled() and (error := served.exception()):
            self.cluster.hub.note_crash(self.process, repr(error))
            self.process.kill()

    def _end(self) -> None:
        if self._executor and self._host:
            self._executor.stop()
            self._host.close()
        else:
            self.process.kill()


def _call_if_alive(process: Process, action: Callable[[], None]) -> None:
    if process.alive:
        process.hub.current = process
        action()
        process.hub.current = None


class Resources:
    """Stands in for psutil: a node with enough of everything."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def sample(self) -> tuple[int, int, int, float]:
        """Return (RSS, free bytes, limit, CPU share)."""
        return 100 * MIB, 6000 * MIB, 8000 * MIB, 0.1
