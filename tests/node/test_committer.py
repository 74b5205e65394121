"""Commits of progress: large ones, and ones that Redis refuses in part."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import redis as redis_module
from support.links import stored_links, way_back

from afx.cluster import keys
from afx.cluster.connection import connect_async
from afx.cluster.redis_faults import RedisFault, fault_of
from afx.forwarding.pipeline import Delivery
from afx.node.committer import Committed, Committer, _calls
from afx.node.progress import Link, Progress

CHANNEL = -1_000_000_000_500
Scenario = Callable[[Committer], Coroutine[Any, Any, None]]


class Session:
    """What a committer asks of a session."""

    def __init__(self, session_id: int, progress: Progress) -> None:
        self.session_id = session_id
        self.epoch = 1
        self.progress: Progress | None = progress
        self.put_backs: list[Progress] = []
        self.committed = 0

    def collect_uncommitted(self) -> Progress:
        assert self.progress is not None
        progress, self.progress = self.progress, None
        return progress

    def put_back(self, progress: Progress) -> None:
        self.put_backs.append(progress)

    def note_committed(self) -> None:
        self.committed += 1


@pytest.fixture
def run(redis_url: str, redis: redis_module.Redis) -> Callable[[Scenario], None]:
    for session_id in (1, 2):
        redis.hset(keys.assignment(session_id), mapping={"incarnation": "one", "epoch": 1})

    def run_scenario(scenario: Scenario) -> None:
        async def main() -> None:
            client = connect_async(redis_url)
            try:
                await scenario(Committer(client, "w1", "one", 30))
            finally:
                await client.aclose()

        asyncio.run(main())

    return run_scenario


def link(
    message: int, *, rule: int = 1, source: int = -5, to: int = -6, copy: int | None = None
) -> Link:
    delivery = Delivery(rule, "copy", source, message, to, 1, "", (), False)
    return Link(delivery, message if copy is None else copy)


def test_what_leaves_an_outbox_and_what_is_to_be_done_later_are_stored_in_one_call() -> None:
    cursor = [text for n in range(2_000) for text in (f"later:d1:-6:{n}", str(n))]
    assert [it for it, _ in _calls(cursor, [])] == [cursor]


def test_progress_too_large_for_one_call_is_stored_in_full(
    run: Any, redis: redis_module.Redis
) -> None:
    cursor = [text for n in range(6_000) for text in (f"last:{n}", str(n))]
    links = [link(n) for n in range(20_000)]
    entities = {str(n): str(n) for n in range(6_000)}

    async def scenario(committer: Committer) -> None:
        session = Session(1, Progress(cursor, links, entities))
        result = await committer.commit([session])  # type: ignore[list-item]
        assert result.complete and not session.put_backs

    run(scenario)
    assert redis.hlen(keys.cursor(1)) == 6_000
    assert redis.hlen(keys.entities(1)) == 6_000
    links = {n: n for n in range(20_000)}
    assert stored_links(redis, 1) == {(1, -5, -6): links}
    assert way_back(redis, -6, 20_000) == {n: (1, -5, n) for n in range(20_000)}


@pytest.mark.parametrize(("source", "to"), [(CHANNEL, CHANNEL - 1), (77, CHANNEL), (CHANNEL, 77)])
def test_links_are_stored_in_both_directions_whatever_the_kinds_of_chats(
    run: Any, redis: redis_module.Redis, source: int, to: int
) -> None:
    async def scenario(committer: Committer) -> None:
        made = [link(n, source=source, to=to, copy=3 * n) for n in (1, 255, 256, 70_000)]
        others = [link(9, rule=2, source=-5, to=to, copy=5)]
        await committer.commit([Session(1, Progress([], made, {}))])  # type: ignore[list-item]
        await committer.commit([Session(1, Progress([], others, {}))])  # type: ignore[list-item]

    run(scenario)
    copies = {1: 3, 255: 765, 256: 768, 70_000: 210_000}
    assert stored_links(redis, 1) == {(1, source, to): copies}
    back = {copy: (1, source, message) for message, copy in copies.items()}
    assert way_back(redis, to, 210_000) == back | {5: (2, -5, 9)}


def test_links_that_are_committed_again_and_again_need_no_more_room(
    run: Any, redis: redis_module.Redis
) -> None:
    async def scenario(committer: Committer) -> None:
        for shift in range(5):
            made = [link(n, source=CHANNEL, to=CHANNEL - 1, copy=n + shift) for n in range(256)]
            await committer.commit([Session(1, Progress([], made, {}))])  # type: ignore[list-item]

    run(scenario)
    assert stored_links(redis, 1) == {(1, CHANNEL, CHANNEL - 1): {n: n + 4 for n in range(256)}}
    assert redis.strlen(keys.link_block(1, CHANNEL, CHANNEL - 1, 0)) == 256 * 5


@pytest.mark.parametrize("spoil", ["part of an entry", "another type"])
def test_a_spoiled_block_of_links_is_refused_and_does_not_stop_its_session(
    run: Any, redis: redis_module.Redis, spoil: str
) -> None:
    key = keys.link_block(1, CHANNEL, CHANNEL - 1, 0)
    if spoil == "another type":
        redis.rpush(key, "x")
    else:
        redis.set(key, "abc")

    async def scenario(committer: Committer) -> None:
        session = Session(1, Progress([], [link(3, source=CHANNEL, to=CHANNEL - 1)], {}))
        assert (await committer.commit([session])).complete  # type: ignore[list-item]

    run(scenario)
    assert stored_links(redis, 1) == {(1, CHANNEL, CHANNEL - 1): {3: 3}}
    assert redis.get(keys.REPORTS_REFUSED_COUNT) == "1"


def test_links_of_another_owner_s_epoch_are_not_stored(run: Any, redis: redis_module.Redis) -> None:
    redis.hset(keys.assignment(1), "epoch", 2)

    async def scenario(committer: Committer) -> None:
        await committer.commit([Session(1, Progress([], [link(1)], {}))])  # type: ignore[list-item]

    run(scenario)
    assert not redis.keys("afx:links:*") and not redis.keys("afx:copies:*")


def test_what_redis_refuses_of_one_session_is_put_back_and_the_rest_is_stored(
    run: Any, redis: redis_module.Redis
) -> None:
    redis.set(keys.cursor(1), "not a hash")
    progress = Progress(["account", "1:0:1"], [], {})

    async def scenario(committer: Committer) -> None:
        bad, good = Session(1, progress), Session(2, progress)
        result = await committer.commit([bad, good])  # type: ignore[list-item]
        assert not result.complete
        [(refused, error)] = result.refused
        assert refused is bad and fault_of(error) is RedisFault.WRONG_TYPE  # type: ignore[comparison-overlap]
        assert (bad.put_backs, good.put_backs) == ([progress], [])

    run(scenario)
    assert redis.hgetall(keys.cursor(2)) == {"account": "1:0:1"}


def test_a_session_of_another_node_is_distinguished(run: Any, redis: redis_module.Redis) -> None:
    redis.hset(keys.assignment(1), "epoch", 2)

    async def scenario(committer: Committer) -> None:
        session = Session(1, Progress(["account", "1:0:1"], [], {}))
        result = await committer.commit([session])  # type: ignore[list-item]
        assert result.foreign == [session]

    run(scenario)
    assert not redis.exists(keys.cursor(1))


@pytest.mark.parametrize("verdicts", [[1, 0], [0, 1], [-1, 0]])
def test_a_commit_in_parts_is_judged_by_all_of_its_answers(run: Any, verdicts: list[int]) -> None:
    async def scenario(committer: Committer) -> None:
        session = Session(1, Progress([], [], {}))
        result = Committed()
        committer._settle(result, session, Progress([], [], {}), verdicts, [])  # type: ignore[arg-type]
        assert result.foreign == [session]
        assert not session.committed

    run(scenario)


def test_a_commit_of_which_one_part_finds_no_owner_is_made_again(run: Any) -> None:
    async def scenario(committer: Committer) -> None:
        progress = Progress(["account", "1:0:1"], [link(1)], {"5": "6"}, {-7: "1.1"})
        session, result = Session(1, progress), Committed()
        committer._settle(result, session, progress, [1, -1], [])  # type: ignore[arg-type]
        assert not result.complete
        assert session.put_backs == [Progress([], progress.links, {}, {-7: "1.1"})]

    run(scenario)


def test_progress_that_was_collected_is_put_back_when_another_sessions_cannot_be_collected(
    run: Any,
) -> None:
    first = Session(1, Progress(["account", "1"], [], {}))
    second = Session(2, Progress([], [], {}))
    second.progress = None

    async def scenario(committer: Committer) -> None:
        with pytest.raises(AssertionError):
            await committer.commit([first, second])  # type: ignore[list-item]

    run(scenario)
    assert [it.cursor for it in first.put_backs] == [["account", "1"]]
