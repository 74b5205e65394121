"""A rule gets senders, or loses them, while something may have been sent: nothing is doubled."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis as redis_module
from support.links import stored_links
from support.pools import OWNER, A, B, Fleet, all_on, authors, pool, run
from support.sandbox import until
from support.sessions import say, texts

from afx.cluster import keys
from afx.cluster.links import CopyRoute
from afx.cluster.pools import PoolStore
from afx.cluster.specs import RuleSpec
from afx.node import pool_lane, pool_senders
from afx.node.session import HostedSession
from afx.sandbox.scripted import FaultKind, ScriptedFault
from afx.sandbox.telegram.peers import Channel

STEPS: dict[str, tuple[Any, str]] = {
    "order put": (PoolStore, "put"),
    "order taken": (PoolStore, "take"),
    "sent": (pool_senders, "carry_out"),
    "answered": (PoolStore, "answer"),
}


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_lane, "_PATIENCE_SECONDS", 20.0)


class Halt:
    """Stops what does a step, when it has been done for the first time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
        owner, name = STEPS[step]
        made = getattr(owner, name)
        self.reached, self.over = asyncio.Event(), asyncio.Event()

        async def wrapped(*args: Any, **options: Any) -> Any:
            result = await made(*args, **options)
            self.reached.set()
            await self.over.wait()
            return result

        monkeypatch.setattr(owner, name, wrapped)


def owner_of(fleet: Fleet) -> HostedSession:
    session = fleet.hosts[fleet.at[OWNER]]._residents.session(OWNER)
    assert session is not None
    return session


def linked(redis: redis_module.Redis, source: Channel, to: Channel) -> list[int]:
    return list(stored_links(redis, 1).get(CopyRoute(1, source.marked, to.marked), {}))


def without_senders(fleet: Fleet) -> list[RuleSpec]:
    return [replace(it, options={}) for it in fleet.rules[OWNER]]


def test_what_waits_for_senders_is_not_sent_by_the_session_when_their_rule_is_removed(
    redis_url: str, redis: redis_module.Redis, home: Path
) -> None:
    async def scenario(fleet: Fleet) -> None:
        source, to = pool(fleet, posting=(OWNER,))
        await fleet.start(OWNER, "w1")
        owner = owner_of(fleet)
        say(fleet.sandbox, source, "one", "two")
        lanes = owner.forwarder.lanes
        await until(lambda: to.marked in lanes and len(lanes[to.marked].begun()) == 2)
        await until(lambda: lanes[to.marked]._task is None)
        owner.renew([])
        await until(lambda: not list(lanes[to.marked].waiting()))
        assert not texts(to)

    run(redis, redis_url, home, scenario, "w1")


@pytest.mark.parametrize("step", STEPS)
def test_what_a_removed_sender_may_have_sent_is_asked_of_it_alone(
    redis_url: str,
    redis: redis_module.Redis,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    async def scenario(fleet: Fleet) -> None:
        halt = Halt(monkeypatch, step)
        source, to = pool(fleet, posting=(OWNER,))
        await all_on(fleet, "w1")
        say(fleet.sandbox, source, "one", "two")
        await halt.reached.wait()
        owner_of(fleet).renew(without_senders(fleet))
        say(fleet.sandbox, source, "three")
        await asyncio.sleep(0)
        halt.over.set()
        await until(lambda: texts(to) == ["one", "two", "three"])
        assert authors(fleet, to)[0] == A
        assert authors(fleet, to)[-1] == OWNER

    run(redis, redis_url, home, scenario)


@pytest.mark.parametrize("step", STEPS)
def test_it_is_as_well_when_the_rule_loses_its_senders_while_its_session_does_not_run(
    redis_url: str,
    redis: redis_module.Redis,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    async def scenario(fleet: Fleet) -> None:
        halt = Halt(monkeypatch, step)
        source, to = pool(fleet, posting=(OWNER,))
        await all_on(fleet, "w1")
        await fleet.stop(OWNER)
        await fleet.node("w2")
        await fleet.start(OWNER, "w2")
        say(fleet.sandbox, source, "one", "two")
        await halt.reached.wait()
        await fleet.kill("w2")
        fleet.rules[OWNER] = tuple(without_senders(fleet))
        halt.over.set()
        await fleet.start(OWNER, "w1")
        say(fleet.sandbox, source, "three")
        await until(lambda: texts(to)[-1:] == ["three"])
        assert texts(to) == ["one", "two", "three"]
        assert authors(fleet, to)[-1] == OWNER

    run(redis, redis_url, home, scenario)


@pytest.mark.parametrize("has_doubt", [False, True], ids=["no doubt", "a doubt of another one"])
def test_so_it_does_when_its_rule_gets_senders_while_its_node_is_dead(
    redis_url: str, redis: redis_module.Redis, home: Path, has_doubt: bool
) -> None:
    async def scenario(fleet: Fleet) -> None:
        source, to = pool(fleet, posting=(OWNER,))
        with_senders = fleet.rules[OWNER]
        fleet.rules[OWNER] = tuple(without_senders(fleet))
        for it, node in ((A, "w1"), (B, "w1"), (OWNER, "w2")):
            await fleet.start(it, node)
        say(fleet.sandbox, source, "zero")
        await until(lambda: linked(redis, source, to) == [1])
        fault = ScriptedFault(FaultKind.NO_ANSWER, method="messages.sendMessage", chat=to.marked)
        fleet.sandbox.server.faults.script.add(fault)
        say(fleet.sandbox, source, "one")
        await until(lambda: texts(to) == ["zero", "one"])
        await fleet.kill("w2")
        fleet.rules[OWNER] = with_senders
        if has_doubt:  # of a message that was deleted before it was known to be sent
            redis.hset(keys.pool(1, to.marked), mapping={"fence": 3, "doubt:5": A})
        say(fleet.sandbox, source, "two")
        await fleet.start(OWNER, "w1")
        await until(lambda: len(texts(to)) > 2)
        await until(lambda: not owner_of(fleet).forwarder.pools.own.open)
        say(fleet.sandbox, source, "three")
        await until(lambda: texts(to)[-1:] == ["three"])
        assert texts(to) == ["zero", "one", "two", "three"]
        assert authors(fleet, to) == [OWNER, OWNER, OWNER, A]
        await until(lambda: redis.hget(keys.cursor(OWNER), f"pool:1:{to.marked}") == "1")

    run(redis, redis_url, home, scenario, "w1", "w2")


def test_senders_send_what_a_session_has_to_wait_with_whose_rule_had_none_in_its_last_run(
    redis_url: str, redis: redis_module.Redis, home: Path
) -> None:
    async def scenario(fleet: Fleet) -> None:
        source, to = pool(fleet, posting=(OWNER,))
        with_senders = fleet.rules[OWNER]
        fleet.rules[OWNER] = tuple(without_senders(fleet))
        for it, node in ((A, "w1"), (B, "w1"), (OWNER, "w2")):
            await fleet.start(it, node)
        fleet.sandbox.server.faults.add_flood(fleet.account(OWNER).id, to.marked, 600)
        say(fleet.sandbox, source, "one")
        await until(lambda: any(it.startswith("outbox:") for it in redis.hkeys(keys.cursor(OWNER))))
        await fleet.kill("w2")
        fleet.rules[OWNER] = with_senders
        await fleet.start(OWNER, "w1")
        await until(lambda: texts(to) == ["one"])
        assert authors(fleet, to) == [A]

    run(redis, redis_url, home, scenario, "w1", "w2")


def test_what_a_session_may_have_sent_before_its_rule_got_senders_it_sends_again_itself(
    redis_url: str, redis: redis_module.Redis, home: Path
) -> None:
    async def scenario(fleet: Fleet) -> None:
        source, to = pool(fleet, posting=(OWNER,))
        with_senders = list(fleet.rules[OWNER])
        fleet.rules[OWNER] = tuple(without_senders(fleet))
        await all_on(fleet, "w1")
        fault = ScriptedFault(FaultKind.NO_ANSWER, method="messages.sendMessage", chat=to.marked)
        fleet.sandbox.server.faults.script.add(fault)
        say(fleet.sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        session = owner_of(fleet)
        session.renew(with_senders)
        session.lost(ConnectionError("its answer will not come"))
        say(fleet.sandbox, source, "two")
        await until(lambda: texts(to)[-1:] == ["two"])
        assert texts(to) == ["one", "two"]
        assert authors(fleet, to) == [OWNER, A]

    run(redis, redis_url, home, scenario)
