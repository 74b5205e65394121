"""The scripts of sender pools on a real Redis: who may do what with a lane."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis as redis_module
from support.links import stored_links, way_back

from afx.cluster import keys
from afx.cluster.connection import connect_async
from afx.cluster.links import CopyLink, CopyRoute
from afx.cluster.pools import Entry, Holder, LostOwnerError, Owned, PoolLane, PoolStore, parse_entry

SOURCE, TO = -1_001_000_000_001, -1_001_000_000_002
LANE = PoolLane(7, TO)
OWNER, FIRST, SECOND = Holder(1, "one", 4), Holder(2, "two", 5), Holder(3, "two", 6)
QUEUE = "rq:queue:node-n-{}"


def assign(redis: redis_module.Redis, *holders: Holder) -> None:
    for it in holders:
        fields = {"node": "n", "incarnation": it.incarnation, "epoch": it.epoch}
        redis.hset(keys.assignment(it.session), mapping=fields)


@asynccontextmanager
async def store_on(url: str) -> AsyncIterator[PoolStore]:
    client = connect_async(url)
    try:
        yield PoolStore(client, 100)
    finally:
        await client.aclose()


Work = Callable[[PoolStore], Awaitable[None]]


def run(url: str, redis: redis_module.Redis, work: Work) -> None:
    assign(redis, OWNER, FIRST, SECOND)

    async def main() -> None:
        async with store_on(url) as store:
            await work(store)

    asyncio.run(main())


async def put(store: PoolStore, sender: int, fence: int, sequence: int = 1, ids: int = 2) -> str:
    return await store.put(
        LANE,
        OWNER,
        before=1,
        fence=fence,
        sequence=sequence,
        sender=sender,
        order=f"order {sequence}",
        ids={it: (SOURCE, it - 90) for it in range(100, 100 + ids)},
    )


async def look(store: PoolStore, *, fence: int = 2, sender: int = 2, back: bool = False) -> str:
    found, _ = await store.look(LANE, OWNER, fence=fence, sequence=1, sender=sender, take_back=back)
    return found


async def answer(store: PoolStore, sender: Holder, fence: int, settled: tuple[int, ...]) -> bool:
    links = [CopyLink(CopyRoute(7, SOURCE, TO), it - 90, it - 80) for it in settled]
    return await store.answer(
        *(LANE, sender),
        fence=fence,
        sequence=1,
        answer="done",
        settled=settled,
        sent=settled[:1],
        links=links,
    )


def test_an_order_goes_to_its_sender_and_its_answer_to_the_owner(
    redis_url: str, redis: redis_module.Redis
) -> None:
    async def work(store: PoolStore) -> None:
        assert await store.own(LANE, OWNER) == Owned(1, 0, 0)
        assert redis.sismember(keys.LINKED_RULES, "7"), "a removed rule's lanes are found by it"
        assert await put(store, 2, 2) == "put"
        assert await store.entries("two") == [Entry(LANE, 2)]
        assert redis.lrange(QUEUE.format("two"), 0, -1) == ["!wake"]
        taken = await store.take(LANE, FIRST)
        assert taken and (taken.order, taken.doubts) == ("order 1", frozenset())
        assert await look(store) == "taken"
        assert await answer(store, FIRST, 2, (100, 101))
        assert await store.entries("one") == [Entry(LANE, 0)]
        assert await look(store) == "answered"
        assert (await store.posters.of(LANE, [19, 20, 21, 22]))[1:] == [2, 2, 2]

    run(redis_url, redis, work)
    assert stored_links(redis, 7) == {CopyRoute(7, SOURCE, TO): {10: 20, 11: 21}}
    assert way_back(redis, TO, 30)[20] == (7, SOURCE, 10)


def test_what_is_not_taken_can_be_taken_back_and_given_to_another(
    redis_url: str, redis: redis_module.Redis
) -> None:
    async def work(store: PoolStore) -> None:
        await store.own(LANE, OWNER)
        await put(store, 2, 2)
        assert await look(store, back=True) == "back"
        assert await store.take(LANE, FIRST) is None, "its sender comes too late"
        assert (
            await store.put(
                *(LANE, OWNER), before=2, fence=3, sequence=2, sender=3, order="x", ids={}
            )
            == "put"
        )
        assert await store.take(LANE, FIRST) is None
        assert await store.take(LANE, SECOND)

    run(redis_url, redis, work)


def test_what_is_taken_is_not_taken_back_and_stays_in_doubt_for_the_next_owner(
    redis_url: str, redis: redis_module.Redis
) -> None:
    async def work(store: PoolStore) -> None:
        await store.own(LANE, OWNER)
        await put(store, 2, 2)
        assert await store.asked([LANE]) == {100, 101}
        await store.take(LANE, FIRST)
        assert await look(store, back=True) == "taken"
        assert await put(store, 3, 3) == "lost", "no handover while an order is under way"
        assert await store.own(LANE, OWNER) == Owned(3, 2, 1, {100: 2, 101: 2})
        assert not await answer(store, FIRST, 2, (100, 101)), "it was asked by an older owner"
        assert await store.asked([LANE]) == {100, 101}

    run(redis_url, redis, work)
    assert not stored_links(redis, 7)


def test_a_stale_owner_can_do_nothing(redis_url: str, redis: redis_module.Redis) -> None:
    async def work(store: PoolStore) -> None:
        await store.own(LANE, OWNER)
        assign(redis, Holder(1, "three", 9))
        assert await store.own(LANE, OWNER) is None
        assert await put(store, 2, 2) == "foreign"
        assert await look(store) == "foreign"
        assert await store.own(LANE, Holder(1, "three", 9)) == Owned(2, 0, 0)

    run(redis_url, redis, work)


def test_an_older_fence_puts_nothing(redis_url: str, redis: redis_module.Redis) -> None:
    async def work(store: PoolStore) -> None:
        await store.own(LANE, OWNER)
        await store.own(LANE, OWNER)
        assert await put(store, 2, 2) == "lost"

    run(redis_url, redis, work)


def test_a_sender_that_has_moved_takes_the_order_again_and_its_old_node_answers_nothing(
    redis_url: str, redis: redis_module.Redis
) -> None:
    async def work(store: PoolStore) -> None:
        await store.own(LANE, OWNER)
        await put(store, 2, 2)
        await store.take(LANE, FIRST)
        moved = Holder(2, "three", 8)
        assign(redis, moved)
        assert not await answer(store, FIRST, 2, (100,))
        assert await store.take(LANE, FIRST) is None
        assert await look(store) == "taken"
        assert await store.entries("three") == [Entry(LANE, 2)], "its new node is told"
        taken = await store.take(LANE, moved)
        assert taken and taken.doubts == {100, 101}
        assert await answer(store, moved, 2, (100,))
        assert (await store.own(LANE, OWNER)) == Owned(3, 2, 1, {100: 2, 101: 2})

    run(redis_url, redis, work)


def test_a_sender_without_a_node_is_not_asked(redis_url: str, redis: redis_module.Redis) -> None:
    async def work(store: PoolStore) -> None:
        await store.own(LANE, OWNER)
        redis.hset(keys.assignment(2), mapping={"node": "", "incarnation": ""})
        assert await put(store, 2, 2) == "away"
        assert await put(store, 3, 2) == "put"
        await store.take(LANE, SECOND)
        redis.hset(keys.assignment(3), mapping={"node": "", "incarnation": ""})
        assert await look(store, sender=3) == "away"

    run(redis_url, redis, work)


def test_what_is_not_taken_and_has_a_sender_on_no_node_is_taken_back_at_once(
    redis_url: str, redis: redis_module.Redis
) -> None:
    async def work(store: PoolStore) -> None:
        await store.own(LANE, OWNER)
        await put(store, 2, 2)
        redis.hset(keys.assignment(2), mapping={"node": "", "incarnation": ""})
        answered = await store.look(LANE, OWNER, fence=2, sequence=1, sender=2, take_back=False)
        assert answered == ("back", "away")
        assert not redis.hget(keys.pool(*LANE), "order")

    run(redis_url, redis, work)


def test_a_new_owner_is_told_what_was_sent_just_before_it_came(
    redis_url: str, redis: redis_module.Redis
) -> None:
    async def work(store: PoolStore) -> None:
        await store.own(LANE, OWNER)
        await put(store, 2, 2)
        await store.take(LANE, FIRST)
        await answer(store, FIRST, 2, (100, 101))
        assert await store.asked([LANE]) == {100}
        for fence in (3, 4):
            assert await store.own(LANE, OWNER) == Owned(fence, 2, 1, {100: 2})
        await store.put(
            *(LANE, OWNER), before=4, fence=4, sequence=2, sender=2, order="x", ids={7: (SOURCE, 1)}
        )
        assert await store.own(LANE, OWNER) == Owned(5, 2, 2, {}), "its links are known by then"

    run(redis_url, redis, work)


def test_an_order_of_another_process_of_redis_may_have_been_taken(
    redis_url: str, redis: redis_module.Redis
) -> None:
    async def work(store: PoolStore) -> None:
        await store.own(LANE, OWNER)
        await put(store, 2, 2)
        redis.hset(keys.pool(*LANE), "run", "another")  # a restart has lost that it was taken
        assert await look(store, back=True) == "put"
        assert (await store.own(LANE, OWNER)) == Owned(3, 2, 1, {100: 2, 101: 2})

    run(redis_url, redis, work)


def test_lost_owners_and_keys_of_another_type_end_nothing(
    redis_url: str, redis: redis_module.Redis
) -> None:
    async def work(store: PoolStore) -> None:
        for name in (keys.pool(*LANE), keys.inbox("two"), keys.posters(*LANE)):
            redis.set(name, "x")
        assert await store.own(LANE, OWNER) == Owned(1, 0, 0)
        assert await put(store, 2, 2) == "put"
        await store.take(LANE, FIRST)
        assert await answer(store, FIRST, 2, (100,))
        redis.delete(keys.assignment(1))
        with pytest.raises(LostOwnerError):
            await store.own(LANE, OWNER)
        with pytest.raises(LostOwnerError):
            await put(store, 2, 3)

    run(redis_url, redis, work)


def test_a_sender_is_known_by_the_copies_that_it_has_made(
    redis_url: str, redis: redis_module.Redis
) -> None:
    async def sent(store: PoolStore, by: Holder, *copies: int) -> None:
        redis.hset(
            keys.pool(*LANE),
            mapping={"fence": 1, "sequence": 1, "state": "taken", "epoch": by.epoch},
        )
        links = [CopyLink(CopyRoute(7, SOURCE, TO), it, it) for it in copies]
        assert await store.answer(
            *(LANE, by), fence=1, sequence=1, answer="", settled=[], sent=[], links=links
        )

    async def work(store: PoolStore) -> None:
        await sent(store, FIRST, 10, 11)
        await sent(store, FIRST, 12, 13)
        await sent(store, SECOND, 14, 20)
        await sent(store, FIRST, 16, 17)
        await sent(store, SECOND, 21)
        copies = [9, 10, 13, 14, 15, 16, 17, 18, 21, 30]
        assert await store.posters.of(LANE, copies) == [0, 2, 2, 3, 3, 2, 2, 3, 3, 3]

    run(redis_url, redis, work)
    assert redis.zcard(keys.posters(*LANE)) == 4


def test_a_copy_that_an_operator_has_named_is_its_senders(
    redis_url: str, redis: redis_module.Redis
) -> None:
    async def work(store: PoolStore) -> None:
        await store.own(LANE, OWNER)
        for sender, copy in ((3, 10), (2, 12), (3, 15)):
            links = [CopyLink(CopyRoute(7, SOURCE, TO), copy, copy)]
            its: Any = {"fence": 1, "sender": sender, "ids": [copy], "links": links}
            assert await store.settle(LANE, OWNER, **its) == "put"
        assert await store.settle(LANE, OWNER, fence=1, sender=2, ids=[9], links=[]) == "put"
        assert await store.posters.of(LANE, [9, 10, 11, 12, 14, 15]) == [0, 3, 3, 2, 2, 3]

    run(redis_url, redis, work)


def test_copies_that_are_found_late_leave_the_posters_of_all_others_as_they_were(
    redis_url: str, redis: redis_module.Redis
) -> None:
    async def settled(store: PoolStore, sender: int, *copies: int) -> None:
        links = [CopyLink(CopyRoute(7, SOURCE, TO), it, it) for it in copies]
        its: Any = {"fence": 1, "sender": sender, "ids": [], "links": links}
        assert await store.settle(LANE, OWNER, **its) == "put"

    async def work(store: PoolStore) -> None:
        await store.own(LANE, OWNER)
        await settled(store, 2, 10, 11)
        await settled(store, 3, 14, 20)
        await settled(store, 9, 12, 13)
        whose = [(9, 0), (10, 2), (11, 2), (12, 9), (13, 9), (14, 3), (20, 3)]
        copies, senders = map(list, zip(*whose, strict=True))
        assert await store.posters.of(LANE, copies) == senders
        await settled(store, 4, 14)
        assert await store.posters.of(LANE, [13, 14, 15, 20]) == [9, 4, 3, 3]
        # Nobody knows who has posted 15: it says nothing about its sender.
        assert await store.posters.copy_by(LANE, 3) == 0
        await settled(store, 3, 15)
        assert await store.posters.copy_by(LANE, 3) == 15
        await settled(store, 2, 12, 16)
        whose = [(11, 2), (12, 2), (13, 9), (14, 4), (15, 3), (16, 2), (17, 3), (20, 3)]
        copies, senders = map(list, zip(*whose, strict=True))
        assert await store.posters.of(LANE, copies) == senders

    run(redis_url, redis, work)


def test_a_post_is_claimed_by_one_send_only(redis_url: str, redis: redis_module.Redis) -> None:
    async def work(store: PoolStore) -> None:
        assert await store.claims.claim(TO, {5: -70})
        assert await store.claims.claim(TO, {5: -70, 6: -70}), "it is the same send"
        assert not await store.claims.claim(TO, {7: 71, 5: 71})
        redis.hset(keys.post_claims(TO), "x", "1")
        assert await store.claims.of(TO) == {5: -70, 6: -70}

    run(redis_url, redis, work)


@pytest.mark.parametrize("text", ["", "7", "7:-1:2:3", "x:-1:2", "7:1:-2", "7:١:2", "1" * 99])
def test_what_names_no_lane_is_left_out(text: str) -> None:
    assert parse_entry(text) is None
