"""What is looked for in a destination: each post is the copy of one send."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import redis as redis_module
from telethon.tl import types

from afx.cluster import keys
from afx.cluster.connection import connect_async
from afx.cluster.post_claims import PostClaims
from afx.forwarding.pipeline import Delivery, random_id
from afx.node.pool_answers import ABSENT
from afx.node.pool_orders import Order, search_of
from afx.node.pool_search import search
from afx.node.pool_sought import Sought

SOURCE, TO = -1_001_000_000_001, -1_001_000_000_002
ASKED = 1_700_000_000


def order(rule: int) -> Order:
    """The search for the copy of one message, which is of the same content for each rule."""
    number = random_id(rule, SOURCE, 12, TO)
    it = Delivery(rule, "copy", SOURCE, 12, TO, number, "the same", (), False)
    return search_of([it], 11, 2, 1, Sought(99, 0, ASKED, ASKED + 5, 0, ("text",)))


def post(number: int, seconds: int, text: str) -> types.Message:
    made = datetime.fromtimestamp(ASKED + seconds, UTC)
    return types.Message(number, types.PeerChannel(1_000_000_002), made, text, post=True)


def reader(*numbers: int) -> Any:
    """A session that finds posts of this content in the destination."""
    posts = [post(1, -999, "0"), *(post(it, 1, "the same") for it in numbers)]

    async def history(request: Any) -> Any:
        most = request.offset_id or 99
        return SimpleNamespace(messages=[it for it in posts if it.id < most])

    async def nothing(*_: Any) -> Any:
        return {}

    forwarder = SimpleNamespace(
        waits=SimpleNamespace(held=lambda _: 0.0, take=lambda *_: None),
        admission=SimpleNamespace(judge_of_copies=SimpleNamespace(origins_of=nothing)),
        read=nothing,
    )
    peers = SimpleNamespace(input_peer=lambda _: None)
    return SimpleNamespace(client=history, peers=peers, forwarder=forwarder)


def run(url: str, work: Callable[[Any], Awaitable[None]]) -> None:
    async def ask(call: Callable[[], Awaitable[Any]]) -> Any:
        return await call()

    async def main() -> None:
        client = connect_async(url)
        try:
            store = SimpleNamespace(claims=PostClaims(client))
            await work(cast(Any, SimpleNamespace(ask=ask, store=store)))
        finally:
            await client.aclose()

    asyncio.run(main())


def test_a_post_that_two_rules_may_have_made_is_the_copy_of_one_of_them(
    redis_url: str, redis: redis_module.Redis
) -> None:
    async def work(desk: Any) -> None:
        made = await asyncio.gather(*(search(reader(2), order(it), desk) for it in (7, 8)))
        [[one], [other]] = sorted(made, key=lambda it: it[0].copy, reverse=True)
        assert (one.result, one.copy) == ("known", 2)
        assert (other.result, other.reason) == ("again", ABSENT)
        again = [await search(reader(2), order(it), desk) for it in (7, 8)]
        assert again == made, "who looks again finds the same"
        assert redis.hlen(keys.post_claims(TO)) == 1

    run(redis_url, work)


def test_two_posts_that_two_rules_have_made_are_one_for_each_once_one_is_known(
    redis_url: str, redis: redis_module.Redis
) -> None:
    async def work(desk: Any) -> None:
        redis.hset(keys.post_claims(TO), "3", str(random_id(8, SOURCE, 12, TO)))
        [first] = await search(reader(2, 3), order(7), desk)
        [second] = await search(reader(2, 3), order(8), desk)
        assert [(it.result, it.copy) for it in (first, second)] == [("known", 2), ("known", 3)]

    run(redis_url, work)
