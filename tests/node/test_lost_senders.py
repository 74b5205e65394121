"""A sender that is gone for ever may have sent: the destination's posts tell, or an operator."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis as redis_module
from support.links import stored_links
from support.pools import OWNER, A, B, C, Fleet, authors, doubts, pool, run
from support.sandbox import until
from support.sessions import say, texts

from afx.cluster import keys
from afx.cluster.links import CopyRoute
from afx.cluster.pool_doubts import NOT_SENT, decide, doubts_of, lanes_of, sent_verdict
from afx.cluster.pools import PoolStore
from afx.node import lane_doubts, pool_lane, pool_senders
from afx.sandbox.judge import flow
from afx.sandbox.telegram.peers import Channel

STEPS: dict[str, tuple[Any, str]] = {
    "order put": (PoolStore, "put"),
    "order taken": (PoolStore, "take"),
    "sent": (pool_senders, "carry_out"),
    "answered": (PoolStore, "answer"),
}


@pytest.fixture(autouse=True)
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_lane, "_PATIENCE_SECONDS", 20.0)
    monkeypatch.setattr(pool_lane, "_DEAD_SECONDS", 0.1)
    monkeypatch.setattr(pool_lane, "_DOUBT_SECONDS", 0.1)
    monkeypatch.setattr(pool_lane, "_AWAY_SECONDS", 1.5)
    monkeypatch.setattr(lane_doubts, "_SURE_SECONDS", 0.0)
    monkeypatch.setattr(lane_doubts, "_UNCLEAR_SECONDS", 1.0)


async def lose_sender(
    fleet: Fleet,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    source: Channel,
    *said: str,
    before: Callable[[], None] = lambda: None,
) -> None:
    """End the node of the first sender, which never runs again, when a step has been done."""
    owner, name = STEPS[step]
    made: Callable[..., Any] = getattr(owner, name)
    reached, over = asyncio.Event(), asyncio.Event()

    async def wrapped(*args: Any, **options: Any) -> Any:
        result = await made(*args, **options)
        if not reached.is_set():
            reached.set()
            await over.wait()
        return result

    for it, node in ((A, "w2"), (B, "w1"), (C, "w1"), (OWNER, "w1")):
        await fleet.start(it, node)
    monkeypatch.setattr(owner, name, wrapped)
    say(fleet.sandbox, source, *said)
    await reached.wait()
    before()
    await fleet.kill("w2")
    fleet.redis.hset(keys.assignment(A), mapping={"node": "", "incarnation": ""})
    over.set()


@pytest.mark.parametrize("group", [False, True], ids=["channel", "group"])
@pytest.mark.parametrize("step", STEPS)
def test_what_a_lost_sender_has_sent_is_found_and_what_it_has_not_is_sent(
    redis_url: str,
    redis: redis_module.Redis,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    group: bool,
) -> None:
    async def scenario(fleet: Fleet) -> None:
        source, to = pool(fleet, group=group)
        await fleet.start(A, "w2")
        await fleet.start(OWNER, "w1")
        say(fleet.sandbox, source, "0")
        await until(lambda: texts(to) == ["0"])
        await fleet.stop(A)
        await fleet.stop(OWNER)
        await lose_sender(fleet, monkeypatch, step, source, "1", "2", "3")
        say(fleet.sandbox, source, "4")
        await until(lambda: texts(to)[-1:] == ["4"])
        assert texts(to) == ["0", "1", "2", "3", "4"]
        is_sent = step in ("sent", "answered")
        assert authors(fleet, to) == [A, *[A if is_sent else B] * 3, B]
        route = CopyRoute(1, source.marked, to.marked)
        await until(lambda: len(stored_links(redis, 1).get(route, ())) == 5)
        await until(lambda: not doubts(fleet, to))

    run(redis, redis_url, home, scenario, "w1", "w2")


def test_a_lost_sender_that_had_sent_nothing_before_is_judged_by_the_time(
    redis_url: str, redis: redis_module.Redis, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(fleet: Fleet) -> None:
        source, to = pool(fleet)
        await lose_sender(fleet, monkeypatch, "sent", source, "1", "2")
        say(fleet.sandbox, source, "3")
        await until(lambda: texts(to) == ["1", "2", "3"])
        assert authors(fleet, to) == [A, A, B]

    run(redis, redis_url, home, scenario, "w1", "w2")


def test_what_a_lost_sender_has_sent_long_after_it_was_asked_is_found(
    redis_url: str, redis: redis_module.Redis, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(fleet: Fleet) -> None:
        source, to = pool(fleet)

        def asked_long_ago() -> None:
            """Its account had no connection for an hour, between the order and the send."""
            redis.hincrby(keys.pool(1, to.marked), "taken", -3600)

        await lose_sender(fleet, monkeypatch, "sent", source, "1", "2", before=asked_long_ago)
        say(fleet.sandbox, source, "3")
        await until(lambda: texts(to)[-1:] == ["3"])
        assert texts(to) == ["1", "2", "3"]
        assert authors(fleet, to) == [A, A, B]

    run(redis, redis_url, home, scenario, "w1", "w2")


def test_what_redis_has_lost_of_a_doubt_is_decided_by_an_operator(
    redis_url: str, redis: redis_module.Redis, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(fleet: Fleet) -> None:
        source, to = pool(fleet)
        lane = keys.pool(1, to.marked)
        await lose_sender(
            *(fleet, monkeypatch, "sent", source, "1"),
            before=lambda: redis.delete(lane, keys.pool_lanes(1)),
        )
        await until(lambda: doubts_of(redis, 1, to.marked))
        assert lanes_of(redis, 1) == [to.marked]
        [doubt] = doubts_of(redis, 1, to.marked)
        assert (doubt.sender, doubt.source, doubt.message) == (A, source.marked, 1)
        assert decide(redis, 1, to.marked, doubt, sent_verdict(1))
        say(fleet.sandbox, source, "2")
        await until(lambda: texts(to)[-1:] == ["2"])
        assert texts(to) == ["1", "2"]
        await until(lambda: not doubts_of(redis, 1, to.marked))

    run(redis, redis_url, home, scenario, "w1", "w2")


@pytest.mark.parametrize("sent", [False, True], ids=["not sent", "sent"])
def test_what_is_unclear_stops_the_lane_until_an_operator_decides(
    redis_url: str,
    redis: redis_module.Redis,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    sent: bool,
) -> None:
    async def scenario(fleet: Fleet) -> None:
        source, to = pool(fleet)
        server = fleet.sandbox.server

        def tidied() -> None:
            """Somebody deletes the copy, or posts the same twice: nobody can tell any more."""
            if sent:
                flow.post(server, to.marked, 0, "1")
            else:
                flow.delete(server, to.marked, 0, list(to.box.messages))
            flow.post(server, to.marked, 0, "something else")

        await lose_sender(fleet, monkeypatch, "sent", source, "1", before=tidied)
        owner = fleet.hosts["w1"]._residents.session(OWNER)
        assert owner is not None
        await until(lambda: "that is unclear" in getattr(owner.rule_troubles.get(1), "text", ""))
        before = texts(to)
        [doubt] = doubts_of(redis, 1, to.marked)
        assert (doubt.sender, doubt.source, doubt.message) == (A, source.marked, 1)
        verdict = sent_verdict(1) if sent else NOT_SENT
        assert decide(redis, 1, to.marked, doubt, verdict)
        say(fleet.sandbox, source, "2")
        await until(lambda: texts(to)[-1:] == ["2"])
        assert texts(to) == [*before, *([] if sent else ["1"]), "2"]
        route = CopyRoute(1, source.marked, to.marked)
        await until(lambda: len(stored_links(redis, 1).get(route, ())) == 2)
        assert not doubts_of(redis, 1, to.marked)
        assert not decide(redis, 1, to.marked, doubt, verdict), "it is no doubt any more"
        await until(lambda: not owner.rule_troubles or "unclear" not in owner.rule_troubles[1].text)

    run(redis, redis_url, home, scenario, "w1", "w2")


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(200, 224))
def test_a_lost_sender_and_a_moving_owner_lose_and_double_nothing(
    redis_url: str,
    redis: redis_module.Redis,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    chance = random.Random(seed)

    async def scenario(fleet: Fleet) -> None:
        is_group = chance.random() < 0.5
        source, to = pool(fleet, group=is_group)
        # Who has posted nothing before is known to nobody in a group: that is unclear.
        before = ["0"] if is_group or chance.random() < 0.5 else []
        for it, node in ((A, "w2"), (OWNER, "w1")):
            await fleet.start(it, node)
        say(fleet.sandbox, source, *before)
        await until(lambda: texts(to) == before)
        for it in (A, OWNER):
            await fleet.stop(it)
        said = [str(it) for it in range(1, chance.randrange(2, 7))]
        await lose_sender(fleet, monkeypatch, chance.choice(list(STEPS)), source, *said)
        if chance.random() < 0.5:
            await fleet.node("w3")
            await asyncio.sleep(chance.random() * 0.4)
            for it in await fleet.kill("w1"):
                await fleet.start(it, "w3", wait=False)
        say(fleet.sandbox, source, "last")
        await until(lambda: "last" in texts(to))
        assert texts(to) == [*before, *said, "last"]

    run(redis, redis_url, home, scenario, "w1", "w2")
