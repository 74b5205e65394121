"""Links in Redis that no node has written: none may stop the leader for good."""

from __future__ import annotations

import pytest
import redis as redis_module
from support.term_harness import TermHarness, add, running

from afx.cluster import keys
from afx.cluster.connection import connect
from afx.cluster.links import CopyRoute, block_key
from afx.cluster.stored_links import StoredLinks


def goes_on(harness: TermHarness) -> None:
    for _ in range(40):
        harness.tick()
    [session] = add("alice", 1)
    harness.until(lambda: session in running())


@pytest.mark.parametrize(
    ("rule", "source", "to", "number"),
    [
        (1, -9_999_999_999_999_999_999, 1, 0),
        (9_999_999_999, -1_000_000_000_005, 1, 0),
        (1, -1_000_000_000_005, 1, 9_999_999_999),
    ],
)
def test_the_name_of_a_changed_block_is_beyond_what_sql_takes(
    harness: TermHarness, rule: int, source: int, to: int, number: int
) -> None:
    harness.add_node("w1")
    harness.redis.set(keys.link_block(rule, source, to, number), "12345")
    harness.redis.sadd(keys.LINKS_CHANGED, f"{rule}:{source}:{to}:{number}")
    goes_on(harness)


def test_the_links_of_a_removed_rule_have_another_type(harness: TermHarness) -> None:
    harness.add_node("w1")
    harness.redis.set(keys.links(77), "x")
    harness.redis.sadd(keys.LINKED_RULES, 77)
    goes_on(harness)


def test_a_removed_rule_with_a_high_head_is_deleted_in_few_commands(
    redis_url: str, redis: redis_module.Redis
) -> None:
    route = CopyRoute(77, -1_000_000_000_005, 1)
    redis.hset(keys.links(77), f"{route.source}:{route.destination}", "0:2147483647")
    redis.set(block_key(route, 5), "12345")
    stored = StoredLinks(connect(redis_url), connect(redis_url, decode=False))
    before = redis.info("commandstats").get("cmdstat_unlink", {}).get("calls", 0)
    stored.delete(77)
    assert redis.info("commandstats")["cmdstat_unlink"]["calls"] - before < 1000
    assert not redis.exists(block_key(route, 5))
