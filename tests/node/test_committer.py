"""Commits of progress: large ones, and ones that Redis refuses in part."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import redis as redis_module

from afx.cluster import keys
from afx.cluster.connection import connect_async
from afx.cluster.redis_faults import RedisFault, fault_of
from afx.forwarding.pipeline import Delivery
from afx.node.committer import Committed, Committer
from afx.node.forwarder import Link
from afx.node.session import Progress

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
                await scenario(Committer(client, "one", 30))
            finally:
                await client.aclose()

        asyncio.run(main())

    return run_scenario


def link(message: int) -> Link:
    return Link(Delivery(1, "copy", -5, message, -6, 1, "", (), False), message)


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
    assert sum(redis.hlen(keys.links(1, -5, n)) for n in range(0, 20_000, 1_000)) == 20_000


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
        progress = Progress(["account", "1:0:1"], [link(1)], {})
        session, result = Session(1, progress), Committed()
        committer._settle(result, session, progress, [1, -1], [])  # type: ignore[arg-type]
        assert not result.complete
        assert session.put_backs == [Progress([], progress.links, {})]

    run(scenario)
