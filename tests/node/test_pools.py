"""Sender pools: one session reads and owns the lane, others of its user post."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis as redis_module
from support.links import stored_links
from support.pools import OWNER, A, B, C, Fleet, all_on, authors, doubts, pool, run
from support.sandbox import until
from support.sessions import say, texts
from telethon.tl import functions

from afx.cluster import keys
from afx.cluster.links import CopyRoute
from afx.cluster.pools import Holder, PoolLane, PoolStore
from afx.forwarding.pipeline import Delivery
from afx.node import pool_lane, pool_orders, pool_senders
from afx.node.pool_desk import PoolDesk
from afx.reasons import TroubleReason
from afx.sandbox.judge import flow
from afx.sandbox.telegram.methods.call import HANDLERS, Call

GET = functions.channels.GetMessagesRequest


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loaded machine is no reason for a handover."""
    monkeypatch.setattr(pool_lane, "_PATIENCE_SECONDS", 20.0)


def test_a_sender_posts_what_the_source_session_reads(
    redis_url: str, redis: redis_module.Redis, home: Path
) -> None:
    async def scenario(fleet: Fleet) -> None:
        source, to = pool(fleet)
        await all_on(fleet, "w1")
        say(fleet.sandbox, source, "one", "two", "three")
        await until(lambda: texts(to) == ["one", "two", "three"])
        route = CopyRoute(1, source.marked, to.marked)
        await until(lambda: stored_links(redis, 1).get(route) == {1: 1, 2: 2, 3: 3})

    run(redis, redis_url, home, scenario)


def test_the_lane_flows_through_the_flood_wait_of_one_sender(
    redis_url: str, redis: redis_module.Redis, home: Path
) -> None:
    async def scenario(fleet: Fleet) -> None:
        source, to = pool(fleet)
        await all_on(fleet, "w1")
        say(fleet.sandbox, source, "0")
        await until(lambda: texts(to) == ["0"])
        fleet.sandbox.server.faults.add_flood(fleet.account(A).id, to.marked, 30)
        said = [str(it) for it in range(1, 21)]
        say(fleet.sandbox, source, *said)
        await until(lambda: texts(to) == ["0", *said])
        assert authors(fleet, to) == [A] + [B] * 20
        lane: Any = redis.hgetall(keys.pool(1, to.marked))
        assert (lane["sender"], lane["fence"]) == (str(B), "3")
        await until(lambda: not doubts(fleet, to))

    run(redis, redis_url, home, scenario)


def test_senders_on_other_nodes_post_and_a_moved_one_doubles_nothing(
    redis_url: str, redis: redis_module.Redis, home: Path
) -> None:
    async def scenario(fleet: Fleet) -> None:
        source, to = pool(fleet)
        for it, node in ((A, "w2"), (B, "w2"), (C, "w1"), (OWNER, "w1")):
            await fleet.start(it, node)
        say(fleet.sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        await fleet.stop(A)
        say(fleet.sandbox, source, "two")
        await until(lambda: texts(to) == ["one", "two"])
        await fleet.start(A, "w1")
        await fleet.stop(B)
        say(fleet.sandbox, source, "three")
        await until(lambda: texts(to) == ["one", "two", "three"])

    run(redis, redis_url, home, scenario, "w1", "w2")


def test_edits_deletes_and_answers_go_through_the_sender_that_posted(
    redis_url: str, redis: redis_module.Redis, home: Path
) -> None:
    async def scenario(fleet: Fleet) -> None:
        source, to = pool(fleet, sync=("edits", "deletes"))
        await all_on(fleet, "w1")
        say(fleet.sandbox, source, "one", "two")
        await until(lambda: texts(to) == ["one", "two"])
        server = fleet.sandbox.server
        server.faults.add_flood(fleet.account(A).id, to.marked, 2)
        flow.post(server, source.marked, 0, "three", reply_to=2)
        await until(lambda: texts(to)[2:] == ["three"])
        assert authors(fleet, to) == [A, A, B]
        assert [it.reply_to for it in to.box.messages.values()] == [None, None, 2]
        flow.edit(server, source.marked, 0, 1, "one, mended")
        flow.delete(server, source.marked, 0, [2])
        say(fleet.sandbox, source, "four")
        await until(lambda: texts(to) == ["one, mended", "three", "four"])

    run(redis, redis_url, home, scenario)


def test_an_edit_that_one_sender_alone_can_make_holds_up_no_message_and_is_read_once(
    redis_url: str, redis: redis_module.Redis, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, reads = HANDLERS[GET], []

    def counted(call: Call, request: Any) -> Any:
        reads.append(request)
        return read(call, request)

    monkeypatch.setitem(HANDLERS, GET, counted)

    async def scenario(fleet: Fleet) -> None:
        source, to = pool(fleet, sync=("edits", "deletes"))
        await all_on(fleet, "w1")
        say(fleet.sandbox, source, "one", "two")
        await until(lambda: texts(to) == ["one", "two"])
        server = fleet.sandbox.server
        server.faults.add_flood(fleet.account(A).id, to.marked, 600)
        say(fleet.sandbox, source, "three")
        await until(lambda: texts(to)[2:] == ["three"])
        flow.edit(server, source.marked, 0, 1, "one, mended")
        flow.delete(server, source.marked, 0, [2])
        said = [str(it) for it in range(5)]
        for it in said:
            say(fleet.sandbox, source, it)
        flow.edit(server, source.marked, 0, 1, "one, mended again")
        await until(lambda: texts(to)[3:] == said)
        assert texts(to)[:2] == ["one", "two"], "they wait for A"
        assert authors(fleet, to) == [A, A, *[B] * 6]
        owner = fleet.hosts["w1"]._residents.session(OWNER)
        assert owner is not None
        assert owner.forwarder.later.next_due() > time.time() + 300
        assert not reads, "they are read again when A may post"
        assert not owner.rule_troubles

    run(redis, redis_url, home, scenario)


def test_files_and_forwards_go_through_senders_that_read_the_source(
    redis_url: str, redis: redis_module.Redis, home: Path
) -> None:
    async def scenario(fleet: Fleet) -> None:
        readers = tuple(fleet.account(it) for it in (B, C))
        transform = ({"text": "{text}!"},)
        source, to = pool(fleet, readers=readers, transform=transform)
        forwards = fleet.sandbox.channel(posters=tuple(fleet.account(it) for it in (A, B, C)))
        [rule] = fleet.rules[OWNER]
        fleet.rules[OWNER] = (
            rule,
            replace(rule, id=2, destinations=(str(forwards.marked),), mode="forward", transform=()),
        )
        await all_on(fleet, "w1")
        server = fleet.sandbox.server
        photo = server.world.files.add(b"photo", is_photo=True)
        flow.post(server, source.marked, 0, "one")
        flow.post(server, source.marked, 0, "two", media=photo)
        await until(lambda: texts(to) == ["one!", "two!"])
        await until(lambda: texts(forwards) == ["one", "two"])
        assert authors(fleet, to) == [A, B], "A cannot read the source's file"
        assert authors(fleet, forwards) == [B, B]
        assert all(it.forwarded for it in forwards.box.messages.values())
        assert [it.media is not None for it in to.box.messages.values()] == [False, True]

    run(redis, redis_url, home, scenario)


def test_a_lane_whose_senders_cannot_post_waits_and_tells_of_it(
    redis_url: str, redis: redis_module.Redis, home: Path
) -> None:
    async def scenario(fleet: Fleet) -> None:
        source, to = pool(fleet, "forward")
        await fleet.start(A, "w1")
        await fleet.start(OWNER, "w1")
        say(fleet.sandbox, source, "one")
        owner = fleet.hosts["w1"]._residents.session(OWNER)
        assert owner is not None
        await until(lambda: owner.rule_troubles)
        trouble = owner.rule_troubles[1]
        assert trouble.reason is TroubleReason.SENDER_UNAVAILABLE
        assert f"a: {source.marked} is not known to it" in trouble.text
        assert "b: it is not running" in trouble.text
        assert not texts(to)

    run(redis, redis_url, home, scenario)


@pytest.mark.parametrize(
    ("step", "sender"), [("take", B), ("answer", A)], ids=["not sent yet", "not answered yet"]
)
def test_a_sender_that_stops_in_the_middle_of_an_order_holds_up_nothing(
    redis_url: str,
    redis: redis_module.Redis,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    sender: int,
) -> None:
    made: Any = getattr(PoolStore, step)
    is_reached, goes_on = asyncio.Event(), asyncio.Event()

    async def halted(*args: Any, **options: Any) -> Any:
        if step == "answer":
            is_reached.set()
            await goes_on.wait()
            return await made(*args, **options)
        result = await made(*args, **options)
        is_reached.set()
        await goes_on.wait()
        return result

    monkeypatch.setattr(PoolStore, step, halted)
    monkeypatch.setattr(pool_senders, "_END_SECONDS", 60.0)

    async def scenario(fleet: Fleet) -> None:
        source, to = pool(fleet)
        await all_on(fleet, "w1")
        say(fleet.sandbox, source, "one")
        await is_reached.wait()
        stopping = asyncio.create_task(fleet.stop(A))
        await until(lambda: fleet.hosts["w1"]._residents.session(A) is None)
        goes_on.set()
        await stopping
        say(fleet.sandbox, source, "two")
        await until(lambda: texts(to) == ["one", "two"])
        assert authors(fleet, to) == [sender, B]
        await until(lambda: not doubts(fleet, to))

    run(redis, redis_url, home, scenario)


def test_an_order_whose_sender_stops_before_it_is_taken_goes_to_another_one_at_once(
    redis_url: str, redis: redis_module.Redis, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_lane, "_PATIENCE_SECONDS", 1_000.0)
    take: Any = PoolStore.take

    async def deaf(store: PoolStore, lane: PoolLane, holder: Holder) -> Any:
        return None if holder.session == A else await take(store, lane, holder)

    monkeypatch.setattr(PoolStore, "take", deaf)

    async def scenario(fleet: Fleet) -> None:
        source, to = pool(fleet)
        await all_on(fleet, "w1")
        say(fleet.sandbox, source, "one")
        await until(lambda: redis.hget(keys.pool(1, to.marked), "state") == "put")
        await fleet.stop(A)
        await until(lambda: texts(to) == ["one"])
        assert authors(fleet, to) == [B]

    run(redis, redis_url, home, scenario)


def test_an_order_that_a_senders_node_cannot_read_goes_to_another_one(
    redis_url: str, redis: redis_module.Redis, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: Any = PoolDesk.open

    def unreadable(desk: PoolDesk, sealed: str, sender: int) -> str:
        return "of a newer version" if sender == A else str(opened(desk, sealed, sender))

    monkeypatch.setattr(PoolDesk, "open", unreadable)

    async def scenario(fleet: Fleet) -> None:
        source, to = pool(fleet)
        await all_on(fleet, "w1")
        say(fleet.sandbox, source, "one", "two")
        await until(lambda: texts(to) == ["one", "two"])
        assert authors(fleet, to) == [B, B]
        await until(lambda: not doubts(fleet, to))

    run(redis, redis_url, home, scenario)


def test_what_no_order_can_name_holds_up_nothing_beside_it(
    redis_url: str, redis: redis_module.Redis, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item: Any = pool_orders._item

    def strict(it: Delivery, has_file: bool) -> Any:
        if it.text == "two":
            raise ValueError("no such entity")
        return item(it, has_file)

    monkeypatch.setattr(pool_orders, "_item", strict)

    async def scenario(fleet: Fleet) -> None:
        source, to = pool(fleet)
        await all_on(fleet, "w1")
        say(fleet.sandbox, source, "one", "two", "three", "four")
        await until(lambda: texts(to) == ["one", "three", "four"])
        owner = fleet.hosts["w1"]._residents.session(OWNER)
        assert owner is not None
        await until(lambda: not owner.forwarder.has_backlog())

    run(redis, redis_url, home, scenario)
