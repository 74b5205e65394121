"""A node of a sender pool dies at each step between two nodes: nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis as redis_module
from support.pools import OWNER, A, B, C, Fleet, authors, pool, run
from support.sandbox import until
from support.sessions import say, texts

from afx.cluster.pools import PoolStore
from afx.node import pool_senders

STEPS: dict[str, tuple[Any, str]] = {
    "between two orders": (PoolStore, "own"),
    "order put": (PoolStore, "put"),
    "order taken": (PoolStore, "take"),
    "sent": (pool_senders, "carry_out"),
    "answered": (PoolStore, "answer"),
}
"""What has been done when the node dies, as a function of a module or class."""


class Death:
    """Kills a node when a step has been done for the first time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
        self.node = ""
        self.fleet: Fleet | None = None
        self.killing: asyncio.Task[list[int]] | None = None
        owner, name = STEPS[step]
        made: Callable[..., Any] = getattr(owner, name)

        async def wrapped(*args: Any, **options: Any) -> Any:
            result = await made(*args, **options)
            if self.fleet is not None:
                fleet, self.fleet = self.fleet, None
                self.killing = asyncio.create_task(fleet.kill(self.node))
                if self.node == self.of(owner, args):
                    await asyncio.Event().wait()  # it goes no further
                await self.killing
            return result

        monkeypatch.setattr(owner, name, wrapped)

    def of(self, owner: Any, args: Any) -> str:
        """Return on which node the step was done: ``w1`` of the owner, ``w2`` of the sender."""
        return str(args[2].incarnation).removeprefix("of-") if owner is PoolStore else "w2"


@pytest.mark.parametrize("victim", ["w1", "w2"], ids=["owner", "sender"])
@pytest.mark.parametrize("step", STEPS)
def test_a_death_at_any_step_loses_and_doubles_nothing(
    redis_url: str,
    redis: redis_module.Redis,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    victim: str,
) -> None:
    death = Death(monkeypatch, step)

    async def scenario(fleet: Fleet) -> None:
        source, to = pool(fleet)
        for it, node in ((A, "w2"), (B, "w2"), (C, "w1"), (OWNER, "w1")):
            await fleet.start(it, node)
        if step != "between two orders":
            say(fleet.sandbox, source, "0")
            await until(lambda: texts(to) == ["0"])
        else:
            death.fleet, death.node = fleet, victim
        said = [str(it) for it in range(1, 8)]
        death.fleet, death.node = fleet, victim
        say(fleet.sandbox, source, *said)
        await until(lambda: death.killing is not None)
        assert death.killing is not None
        await fleet.node("w3")
        for it in await death.killing:
            await fleet.start(it, "w3", wait=False)
        say(fleet.sandbox, source, "last")
        expected = [*([] if step == "between two orders" else ["0"]), *said, "last"]
        await until(lambda: "last" in texts(to))
        assert texts(to) == expected

    run(redis, redis_url, home, scenario, "w1", "w2")


async def a_random_life(fleet: Fleet, rng: random.Random, steps: int) -> None:
    """Kill nodes, stop senders and let them wait at random, while messages are posted."""
    source, to = pool(fleet, sync=("edits",))
    for it in (A, B, C, OWNER):
        await fleet.start(it, rng.choice(("w1", "w2")))
    said: list[str] = []
    nodes = 2
    for _ in range(steps):
        await asyncio.sleep(rng.choice((0.0, 0.02, 0.1)))
        match rng.choice(("say", "say", "say", "kill", "move", "flood")):
            case "say":
                texts_now = [f"{len(said) + it}" for it in range(rng.randrange(1, 9))]
                said += texts_now
                say(fleet.sandbox, source, *texts_now)
            case "kill":
                nodes += 1
                sessions = await fleet.kill(rng.choice(list(fleet.hosts)))
                await fleet.node(f"w{nodes}")
                for it in sessions:
                    await fleet.start(it, rng.choice(list(fleet.hosts)))
            case "move":
                it = rng.choice((A, B, C, OWNER))
                await fleet.stop(it)
                await fleet.start(it, rng.choice(list(fleet.hosts)))
            case "flood":
                account = fleet.account(rng.choice((A, B, C))).id
                fleet.sandbox.server.faults.add_flood(account, to.marked, rng.choice((1, 2)))
    said.append("last")
    say(fleet.sandbox, source, "last")
    await until(lambda: "last" in texts(to))
    assert texts(to) == said, authors(fleet, to)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_random_life_of_a_pool_loses_and_doubles_nothing(
    redis_url: str, redis: redis_module.Redis, home: Path, seed: int
) -> None:
    async def scenario(fleet: Fleet) -> None:
        await a_random_life(fleet, random.Random(seed), 12)

    run(redis, redis_url, home, scenario, "w1", "w2")


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(100, 130))
def test_many_random_lives_of_a_pool_lose_and_double_nothing(
    redis_url: str, redis: redis_module.Redis, home: Path, seed: int
) -> None:
    async def scenario(fleet: Fleet) -> None:
        await a_random_life(fleet, random.Random(seed), 15)

    run(redis, redis_url, home, scenario, "w1", "w2")
