"""Other queues at the same no-op job on the same Redis: task_peers.py NAME URL COUNT."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from typing import Any


def probe() -> None:
    """Do nothing."""


async def probe_async(_context: Any) -> None:
    """Do nothing."""


def rq(url: str, count: int, *, forks: bool) -> float:
    import redis
    from rq import Queue, SimpleWorker, Worker

    client = redis.Redis.from_url(url)
    queue = Queue("bench", connection=client)
    for _ in range(count):
        queue.enqueue("math.sqrt", 4)
    worker = (Worker if forks else SimpleWorker)([queue], connection=client)
    begin = time.monotonic()
    worker.work(burst=True, logging_level="ERROR")
    return count / (time.monotonic() - begin)


def arq(url: str, count: int) -> float:
    from arq.connections import ArqRedis
    from arq.worker import Worker

    async def measure() -> float:
        pool = (
            ArqRedis.from_url(url)
            if not url.startswith("unix")
            else ArqRedis(unix_socket_path=url.removeprefix("unix://").partition("?")[0])
        )
        for _ in range(count):
            await pool.enqueue_job("probe_async")
        worker = Worker(
            [probe_async],
            redis_pool=pool,
            burst=True,
            max_jobs=100,
            poll_delay=0.01,
            handle_signals=False,
        )
        begin = time.monotonic()
        await worker.main()
        return count / (time.monotonic() - begin)

    return asyncio.run(measure())


def taskiq(url: str, count: int) -> float:
    from taskiq.receiver import Receiver
    from taskiq_redis import ListQueueBroker

    left = count
    finished = asyncio.Event()

    async def work() -> None:
        nonlocal left
        left -= 1
        if not left:
            finished.set()

    async def measure() -> float:
        broker = ListQueueBroker(url)
        task = broker.register_task(work, task_name="probe")
        broker.is_worker_process = True
        await broker.startup()
        for _ in range(count):
            await task.kiq()
        receiver = Receiver(broker, max_async_tasks=100, run_startup=False)
        begin = time.monotonic()
        listening = asyncio.create_task(receiver.listen(finished))
        await finished.wait()
        rate = count / (time.monotonic() - begin)
        listening.cancel()
        return rate

    return asyncio.run(measure())


def dramatiq(url: str, count: int) -> float:
    import dramatiq as library
    import redis
    from dramatiq.brokers.redis import RedisBroker

    broker = RedisBroker(client=redis.Redis.from_url(url))
    library.set_broker(broker)
    left = threading.Semaphore(0)
    actor = library.actor(left.release, actor_name="probe", broker=broker)
    for _ in range(count):
        actor.send()
    worker = library.Worker(broker, worker_threads=8)
    begin = time.monotonic()
    worker.start()
    for _ in range(count):
        left.acquire()
    rate = count / (time.monotonic() - begin)
    worker.stop()
    return rate


if __name__ == "__main__":
    name, url, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if name.startswith("rq"):
        print(rq(url, count, forks=name == "rq"))
    else:
        print({"arq": arq, "dramatiq": dramatiq, "taskiq": taskiq}[name](url, count))
