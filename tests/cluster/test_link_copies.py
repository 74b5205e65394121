"""Links are copied to SQL, come back when Redis loses them, and go with their rule."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis as redis_module
from structlog.testing import capture_logs
from support.links import stored_links, way_back

from afx.clock import SYSTEM_CLOCK
from afx.cluster import keys
from afx.cluster.connection import connect, connect_async
from afx.cluster.leadership import LeaderElection
from afx.coordinator.link_copies import LinkCopies
from afx.errors import FencedError
from afx.forwarding.pipeline import Delivery
from afx.node.committer import Committer
from afx.node.progress import Link, Progress
from models.base import micros, transaction, utc_now
from models.storage import dead_letters, links, rules, sessions, users
from models.storage.dead_letters import Undelivered
from models.storage.sessions import NewSession

SOURCE, TO = -1_000_000_000_501, -1_000_000_000_502


class Bench:
    """One session with a rule, a Redis, and a leader's copier."""

    def __init__(self, redis: redis_module.Redis, redis_url: str) -> None:
        self.redis = redis
        self._url = redis_url
        self._raw = connect(redis_url, decode=False)
        owner = users.create("alice")
        [self.session] = sessions.create_many(owner, [NewSession("one", "sealed")])
        found = sessions.find("one")
        self.rule = rules.create(found, [str(SOURCE)], [str(TO)])
        self.now = 0.0
        self.lead()

    def lead(self) -> None:
        """Begin a term, and its copier."""
        self.redis.delete(keys.LEADER)
        election = LeaderElection(
            self._url,
            holder="a:1:x",
            ttl_seconds=50.0,
            stop_seconds=30.0,
            tick_limit_seconds=60.0,
            clock=SYSTEM_CLOCK,
        )
        leadership = election.acquire()
        assert leadership
        self.copies = LinkCopies(self.redis, self._raw, leadership, link_days=30)

    def step(self, count: int = 1) -> None:
        for _ in range(count):
            self.now += 1.0
            self.copies.step(self.now)

    def commit(self, *messages: int, shift: int = 0) -> None:
        """Commit links as a node does; each copy's id is the message's id and a shift."""
        self.redis.hset(keys.assignment(self.session), mapping={"incarnation": "one", "epoch": 1})
        made = [
            Link(Delivery(self.rule.id, "copy", SOURCE, it, TO, 1, "", (), False), it + shift)
            for it in messages
        ]

        async def main() -> None:
            client = connect_async(self._url)
            await Committer(client, "w1", "one", 30).commit([_Session(self.session, made)])  # type: ignore[list-item]
            await client.aclose()

        asyncio.run(main())

    def linked(self) -> dict[int, int]:
        return stored_links(self.redis, self.rule.id).get((self.rule.id, SOURCE, TO), {})

    def close(self) -> None:
        self._raw.close()


class _Session:
    """What a committer asks of a session."""

    epoch = 1

    def __init__(self, session_id: int, made: list[Link]) -> None:
        self.session_id = session_id
        self._made = made

    def collect_uncommitted(self) -> Progress:
        return Progress([], self._made, {})

    def note_committed(self) -> None:
        pass


@pytest.fixture
def bench(database: Any, redis: redis_module.Redis, redis_url: str) -> Iterator[Bench]:
    del database
    made = Bench(redis, redis_url)
    yield made
    made.close()


def test_links_come_back_to_a_redis_that_was_flushed(bench: Bench) -> None:
    bench.commit(*range(1, 600))
    bench.step()
    assert not bench.redis.exists(keys.LINKS_CHANGED)
    bench.redis.flushall()
    bench.lead()
    bench.step(3)
    assert bench.linked() == {it: it for it in range(1, 600)}
    assert len(way_back(bench.redis, TO, 600)) == 599
    assert bench.redis.exists(keys.LINKS_COMPLETE)


def test_a_message_whose_link_is_copied_is_no_dead_letter_any_more(bench: Bench) -> None:
    """A node that replays delivers what was a dead letter, and does not know that it was."""
    dead = Undelivered(bench.session, bench.rule.id, SOURCE, TO, [255, 256, 700], "message_refused")
    with transaction():
        dead_letters.note([dead])
    bench.commit(255, 256)
    bench.step()
    assert [it["messages"] for it in dead_letters.listing().rows] == ["700"]


def test_what_a_node_has_stored_since_the_loss_stays(bench: Bench) -> None:
    bench.commit(1, 2, 3)
    bench.step()
    bench.redis.flushall()
    bench.commit(3, 4, shift=50)
    bench.lead()
    bench.step(3)
    assert bench.linked() == {1: 1, 2: 2, 3: 53, 4: 54}
    [(_, _, block)] = links.page(0, 10)
    assert block.number == 0


def test_a_block_that_changes_while_it_is_copied_is_copied_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.commit(1)
    save = links.save_many

    def slow(blocks: Any) -> None:
        save(blocks)
        monkeypatch.setattr(links, "save_many", save)
        bench.commit(2)

    monkeypatch.setattr(links, "save_many", slow)
    bench.step(2)
    bench.redis.flushall()
    bench.lead()
    bench.step(2)
    assert bench.linked() == {1: 1, 2: 2}


def test_the_links_of_a_removed_rule_are_deleted(bench: Bench) -> None:
    bench.commit(1, 70_000)
    bench.step()
    with transaction():
        rules.remove(bench.rule)
    bench.step()
    assert not bench.redis.keys(f"{keys.links(bench.rule.id)}*")
    assert not bench.redis.exists(keys.LINKED_RULES)
    assert not links.page(0, 10)
    # A node that has not noticed yet stores more.
    bench.commit(2)
    bench.step()
    assert not bench.redis.keys(f"{keys.links(bench.rule.id)}*")


def test_the_pools_lanes_of_a_removed_rule_are_deleted_and_their_doubts_end(bench: Bench) -> None:
    rule, to = bench.rule.id, -1_001_000_000_002
    lanes, lane = keys.pool_lanes(rule), keys.pool(rule, to)
    bench.redis.sadd(keys.LINKED_RULES, rule)
    bench.redis.sadd(lanes, to, -1_001_000_000_003)
    bench.redis.hset(lane, mapping={"fence": 1, "doubt:5": 3, "of:5": "-1001:12:0:1700000000"})
    bench.redis.zadd(keys.posters(rule, to), {"1:3": 1})
    bench.redis.set(keys.pool(rule, -1_001_000_000_003), "of another type")
    bench.step()
    assert bench.redis.exists(lane)
    with transaction():
        rules.remove(bench.rule)
    with capture_logs() as logs:
        bench.step()
    assert not bench.redis.keys("afx:pool:*")
    [ended] = [it for it in logs if it["event"] == "doubt_ended"]
    assert (ended["rule"], ended["sender"], ended["message"]) == (rule, 3, 12)
    assert not bench.redis.exists(keys.LINKED_RULES)


def test_copies_that_are_older_than_links_are_stored_are_deleted(bench: Bench) -> None:
    bench.commit(1)
    bench.step()
    from models.base import execute

    with transaction():
        execute("UPDATE rule_links SET saved_at = ?", micros(utc_now() - timedelta(days=31)))
    bench.now += 60
    bench.step()
    assert not links.page(0, 10)


def test_malformed_names_and_copies_are_passed_over(bench: Bench) -> None:
    bench.commit(1)
    bench.redis.sadd(keys.LINKS_CHANGED, "nonsense", b"\xff\xfe", "1:2:3:4")
    bench.redis.sadd(keys.LINKED_RULES, "nonsense")
    bench.step(2)
    assert not bench.redis.exists(keys.LINKS_CHANGED)
    from models.base import execute

    with transaction():
        execute("UPDATE rule_links SET links = ?", "no base64!")
    bench.redis.delete(keys.LINKS_COMPLETE)
    bench.lead()
    bench.step(2)
    assert bench.redis.exists(keys.LINKS_COMPLETE)


def test_a_leader_of_an_older_term_copies_nothing_back(bench: Bench) -> None:
    bench.commit(1)
    bench.step()
    bench.redis.flushall()
    bench.redis.set(keys.TERM, 99)
    with pytest.raises(FencedError):
        bench.copies._restored_to = 0
        bench.step()
    assert not bench.linked()
