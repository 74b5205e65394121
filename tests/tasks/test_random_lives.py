"""Tasks under a random sequence of what happens to clusters: each ends once, with one effect."""

from __future__ import annotations

import contextlib
import itertools
import random

import pytest
from support.task_bench import TaskBench
from support.task_sessions import SessionBench

from afx.errors import UsageError
from models.storage import tasks


class Lives:
    """One sequence of acts, by its seed."""

    def __init__(self, bench: TaskBench, seed: int) -> None:
        self.rng = random.Random(seed)
        self.bench = bench
        self.it = SessionBench(bench)
        self.texts: dict[int, str] = {}
        self.probes: list[int] = []
        self._names = (f"w{number}" for number in itertools.count(1))

    @property
    def all(self) -> list[int]:
        return [*self.texts, *self.probes]

    def add_node(self) -> None:
        if len(self.bench.nodes) < 3:
            self.it.add_node(next(self._names))

    def kill_node(self) -> None:
        if len(self.bench.nodes) > 1:
            self.bench.kill_node(self.rng.choice(list(self.bench.nodes)))

    def send(self) -> None:
        texts = [f"text {len(self.texts) + number}" for number in range(self.rng.randint(1, 6))]
        chat = self.rng.randint(1, 3)
        self.texts |= dict(zip(self.it.send(*texts, chat=chat, max_attempts=9), texts, strict=True))

    def probe(self) -> None:
        seconds = self.rng.choice((0, 0.05, 0.2))
        text = f'{{"seconds":{seconds}}}'
        priority = self.rng.randint(0, 3)
        self.probes += self.bench.probe(3, text, priority=priority, max_attempts=9)

    def cancel(self) -> None:
        if self.all:
            with contextlib.suppress(UsageError):
                tasks.cancel(self.rng.choice(self.all), "why")

    def pause(self) -> None:
        if self.all:
            with contextlib.suppress(UsageError):
                tasks.pause(self.rng.choice(self.all), "why")

    def resume(self) -> None:
        for it in self.all:
            if tasks.get(it)["state"] == "paused":
                tasks.resume(it)

    def retry(self) -> None:
        if self.all:
            with contextlib.suppress(UsageError):
                tasks.retry(self.rng.choice(self.all))

    def move(self) -> None:
        node = self.rng.choice(list(self.bench.nodes.values()))
        self.bench.loop.call_soon_threadsafe(node.executor.release_session, self.it.session)

    def change_leader(self) -> None:
        self.bench.term.change_leader()

    def lose_some_of_redis(self) -> None:
        found = self.bench.redis.keys("rq:*")
        if found:
            self.bench.redis.delete(*self.rng.sample(found, len(found) // 2 + 1))

    def deliver_cancels(self) -> None:
        cancelled = list(self.bench.term.orders.cancelled)
        for node in self.bench.nodes.values():
            self.bench.loop.call_soon_threadsafe(node.executor.cancel, cancelled)

    def toggle_answers(self) -> None:
        """Let Telegram's answers be late, or come: what was sent is not known to be."""
        after = self.it.telegram.after
        if after.is_set():
            self.it.hold(after)
        else:
            self.let_answers_come()

    def let_answers_come(self) -> None:
        self.bench.loop.call_soon_threadsafe(self.it.telegram.after.set)

    def act(self) -> None:
        often = (self.send, self.send, self.probe, self.cancel, self.retry)
        seldom = (
            *(self.add_node, self.kill_node, self.move),
            *(self.change_leader, self.lose_some_of_redis, self.toggle_answers),
            *(self.pause, self.pause, self.pause, self.resume),
        )
        self.rng.choice(often if self.rng.random() < 0.7 else seldom)()
        self.deliver_cancels()
        for _ in range(self.rng.randint(0, 4)):
            self.bench.tick(0.1)


@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(it, marks=pytest.mark.faults) for it in range(2, 20))]
)
def test_each_task_ends_once_with_one_effect_whatever_happens(bench: TaskBench, seed: int) -> None:
    lives = Lives(bench, seed)
    lives.add_node()
    for _ in range(60):
        lives.act()
    lives.let_answers_come()
    lives.add_node()

    def have_all_finished() -> bool:
        lives.deliver_cancels()
        lives.resume()
        return bench.states(lives.all) <= set(tasks.FINISHED)

    bench.until(have_all_finished, 60, tick=0.3)
    rows = {it: tasks.get(it) for it in lives.all}
    ledger = lives.it.telegram.ledger
    assert set(ledger.values()) <= {1}
    sent = {text for _, text in ledger}
    for number, text in lives.texts.items():
        assert text in sent or rows[number]["state"] != "succeeded", rows[number]
    for node in bench.nodes.values():
        bench.until(lambda it=node: it.executor.running == 0)  # type: ignore[misc]
        assert node.executor._counts == [0, 0, 0, 0] and not node.executor._by_session
    for _ in range(5):
        bench.tick(1.0)
    assert {it: tasks.get(it) for it in lives.all} == rows  # a final state stays
