"""Random lives of a rule that gets senders and loses them, while nodes die and answers are lost."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import redis as redis_module
from support.pools import OWNER, A, B, C, Fleet, authors, pool, run
from support.sandbox import until
from support.sessions import say, texts

from afx.cluster.specs import RuleSpec
from afx.node import pool_lane
from afx.sandbox.scripted import FaultKind, ScriptedFault

_SENDERS = {"a": A, "b": B, "c": C}
_STEPS = "say", "say", "say", "change", "change", "kill", "move", "mute", "lose"


@pytest.fixture(autouse=True)
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_lane, "_DOUBT_SECONDS", 0.1)
    monkeypatch.setattr(pool_lane, "_AWAY_SECONDS", 0.5)
    monkeypatch.setattr(pool_lane, "_UNTAKEN_SECONDS", 0.5)


def with_senders(rule: RuleSpec, chance: random.Random) -> RuleSpec:
    """Return a rule with none, some or all of its senders."""
    names = chance.sample(sorted(_SENDERS), chance.choice((0, 0, 1, 2, 3)))
    options = {"senders": {it: _SENDERS[it] for it in names}} if names else {}
    return replace(rule, options=options)


def change(fleet: Fleet, rule: RuleSpec, chance: random.Random) -> str:
    """Give the rule other senders, as its session learns when it starts; returns a note."""
    fleet.rules[OWNER] = (with_senders(rule, chance),)
    return f" to {list(fleet.rules[OWNER][0].options.get('senders', {}))}"


async def lose_connections(fleet: Fleet) -> None:
    """Let all sessions ask again for what got no answer."""
    for host in fleet.hosts.values():
        for it in host._residents.sessions():
            if it.has_caught_up:  # one that is starting would fail, and no leader start it again
                it.lost(ConnectionError("its answer will not come"))


async def a_life_of_changes(fleet: Fleet, chance: random.Random, steps: int) -> None:
    source, to = pool(fleet, posting=(OWNER,))
    [rule] = fleet.rules[OWNER]
    script = fleet.sandbox.server.faults.script
    fleet.rules[OWNER] = (with_senders(rule, chance),)
    for it in (A, B, C, OWNER):
        await fleet.start(it, chance.choice(("w1", "w2")))
    said: list[str] = []
    story: list[str] = []
    nodes = 2
    for _ in range(steps):
        await asyncio.sleep(chance.choice((0.0, 0.02, 0.1)))
        what = chance.choice(_STEPS)
        story.append(what)
        match what:
            case "say":
                more = [f"{len(said) + it}" for it in range(chance.randrange(1, 9))]
                said += more
                say(fleet.sandbox, source, *more)
            case "change":
                story[-1] += change(fleet, rule, chance)
                session = fleet.hosts[fleet.at[OWNER]]._residents.session(OWNER)
                if session is not None:
                    session.renew(list(fleet.rules[OWNER]))
            case "kill":
                nodes += 1
                victim = chance.choice(list(fleet.hosts))
                sessions = [it for it, at in fleet.at.items() if at == victim]
                await fleet.kill(victim)
                story[-1] += f" {victim} {sessions}"
                if OWNER in sessions and chance.random() < 0.6:
                    story[-1] += change(fleet, rule, chance)
                await fleet.node(f"w{nodes}")
                for it in sessions:
                    await fleet.start(it, chance.choice(list(fleet.hosts)), wait=False)
            case "move":
                it = chance.choice((A, B, C, OWNER))
                story[-1] += f" {it}"
                await fleet.stop(it)
                if it == OWNER and chance.random() < 0.6:
                    story[-1] += change(fleet, rule, chance)
                await fleet.start(it, chance.choice(list(fleet.hosts)), wait=False)
            case "mute":
                method = "messages.sendMessage"
                script.add(ScriptedFault(FaultKind.NO_ANSWER, method=method, chat=to.marked))
            case "lose":
                await lose_connections(fleet)
    script.clear()
    said.append("last")
    say(fleet.sandbox, source, "last")
    try:
        for _ in range(12):
            try:
                async with asyncio.timeout(3):
                    await until(lambda: "last" in texts(to))
                break
            except TimeoutError:
                await lose_connections(fleet)
        assert texts(to) == said, (authors(fleet, to), Counter(texts(to)), story)
    except TimeoutError as error:
        raise AssertionError((texts(to), said, authors(fleet, to), story)) from error


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(300, 320))
def test_many_random_lives_of_changing_senders_lose_and_double_nothing(
    redis_url: str, redis: redis_module.Redis, home: Path, seed: int
) -> None:
    async def scenario(fleet: Fleet) -> None:
        await a_life_of_changes(fleet, random.Random(seed), 15)

    run(redis, redis_url, home, scenario, "w1", "w2")
