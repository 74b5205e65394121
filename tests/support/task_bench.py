"""A leader that is ticked by hand, and real executors of tasks, on a real Redis."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.specs import KEY
from support.term_harness import TermHarness

from afx.cluster import queues
from afx.cluster.connection import connect_async
from afx.node.redis_trouble import RedisTrouble
from afx.node.report_sender import ReportSender
from afx.security.vault import Vault
from afx.tasks.executor import TaskExecutor
from models.storage import tasks
from models.storage.tasks import NewTask


class BenchNode:
    """One node's executor, on the loop of the bench."""

    def __init__(self, bench: TaskBench, name: str, incarnation: str, **options: Any) -> None:
        self.name, self.incarnation = name, incarnation
        self.sessions: dict[int, Any] = {}
        """The sessions that run on it."""
        self._bench = bench
        self._options = {"slots": 20, "may_take": lambda: True, **options}
        self._owned: set[asyncio.Task[None]] = set()
        bench.on_loop(self._start())

    async def _start(self) -> None:
        self._redis = connect_async(self._bench.redis_url)
        trouble = RedisTrouble(lambda _: None)
        self.reports = ReportSender(self._redis, self.name, self.incarnation, trouble)
        self.executor = TaskExecutor(
            self._redis,
            node=self.name,
            incarnation=self.incarnation,
            vault=Vault([KEY]),
            reports=self.reports,
            trouble=trouble,
            session=self.sessions.get,
            exports=self._bench.home / "exports",
            **self._options,
        )
        loops = [self.reports.run(), *self.executor.loops()]
        self._owned = {asyncio.create_task(it) for it in loops}

    def wake(self) -> None:
        """Do what the control queue's thread does when it is woken."""
        key = f"rq:queue:{queues.node(self.name, self.incarnation)}"
        if self._bench.term.raw_redis.lrem(key, 0, queues.WAKE):
            self._bench.loop.call_soon_threadsafe(self.executor.wake)

    def kill(self) -> None:
        """End it without a word, as a killed process does."""
        self._bench.on_loop(self._kill())

    async def _kill(self) -> None:
        for run in list(self.executor._running.values()):
            self.executor._running.pop((run.job.task_id, run.job.publication))
            if run.task:
                run.task.cancel()
        while self._owned:  # once may not be enough, as for a host
            for task in self._owned:
                task.cancel()
            _done, self._owned = await asyncio.wait(self._owned, timeout=0.2)
        await self._redis.aclose()

    def leave(self) -> None:
        """End it as a host does that is stopped."""

        async def leave() -> None:
            await self.executor.close()
            await self.reports.flush_fully()
            await self._kill()

        self._bench.on_loop(leave())


class TaskBench:
    """A leader, nodes, and the tasks that they run."""

    def __init__(self, home: Path, redis_url: str) -> None:
        self.redis_url = redis_url
        self.home = home
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.term = TermHarness(home, redis_url)
        self.redis = self.term.redis
        self.nodes: dict[str, BenchNode] = {}

    def on_loop(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def add_node(self, name: str, **options: Any) -> BenchNode:
        identity = self.term.add_node(name)
        self.nodes[name] = BenchNode(self, name, identity.incarnation, **options)
        for _ in range(4):  # the leader knows of it from then on, and wakes it
            self.tick()
        return self.nodes[name]

    def kill_node(self, name: str) -> None:
        self.term.kill_node(name)
        self.nodes.pop(name).kill()

    def submit(self, *new: NewTask) -> list[int]:
        return tasks.submit(new, "me")

    def probe(self, count: int = 1, arguments: str = "{}", **fields: Any) -> list[int]:
        """Submit probes; returns their ids."""
        new = NewTask("task.probe", arguments=arguments, **fields)
        return self.submit(*(new for _ in range(count)))

    def tick(self, seconds: float = 0.02) -> None:
        self.term.tick(seconds)
        for it in self.nodes.values():
            it.wake()

    def until(self, done: Callable[[], bool], seconds: float = 20.0, *, tick: float = 0.02) -> None:
        """Tick until something is so; each tick takes ``tick`` seconds of the leader's."""
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end, self.unfinished()
            self.tick(tick)

    def unfinished(self) -> list[dict[str, Any]]:
        """Return the tasks that have not ended: what a test waits for."""
        rows = tasks.listing(limit=1000).rows
        return [dict(it) for it in rows if it["state"] not in tasks.FINISHED]

    def state(self, number: int) -> str:
        return str(tasks.get(number)["state"])

    def states(self, numbers: list[int]) -> set[str]:
        return {self.state(it) for it in numbers}

    def until_state(self, number: int, state: str) -> None:
        self.until(lambda: self.state(number) == state)

    def close(self) -> None:
        for it in self.nodes.values():
            it.kill()
        self.term.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()
