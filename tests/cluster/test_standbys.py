"""What coordinators that stand by say of themselves."""

from __future__ import annotations

from contextlib import closing

import redis as redis_module

from afx.cluster import keys, standbys


def test_one_that_says_nothing_more_is_removed_by_the_next(redis: redis_module.Redis) -> None:
    standbys.note(redis, "b:2")
    standbys.note(redis, "a:1")
    assert standbys.read(redis) == ("a:1", "b:2")
    redis.zincrby(keys.STANDBYS, -standbys.KEPT_SECONDS - 1, "b:2")
    standbys.note(redis, "a:1")
    assert standbys.read(redis) == ("a:1",)
    assert 0 < redis.ttl(keys.STANDBYS) <= standbys.KEPT_SECONDS
    standbys.leave(redis, "a:1")
    assert standbys.read(redis) == ()


def test_what_is_no_list_of_standbys_is_replaced_and_never_trusted(
    redis: redis_module.Redis,
) -> None:
    redis.set(keys.STANDBYS, "x")
    assert standbys.read(redis) == ()
    standbys.leave(redis, "a:1")
    standbys.note(redis, "a:1")
    standbys.note(redis, "a:1")
    assert standbys.read(redis) == ("a:1",)
    redis.zadd(keys.STANDBYS, {f"{it}\x1b[31m" + "x" * 1_000: 10**12 for it in range(500)})
    found = standbys.read(redis)
    assert len(found) <= 100 and all(it.isprintable() and len(it) <= 310 for it in found)
    standbys.note(redis, "b:2")
    assert standbys.read(redis) == ("a:1", "b:2")


def test_a_redis_that_refuses_a_command_is_not_taken_for_one_that_is_away(
    redis: redis_module.Redis,
) -> None:
    redis.execute_command("ACL", "SETUSER", "limited", "on", ">x", "~*", "+@all", "-time")
    try:
        with closing(redis.client()) as limited:
            limited.execute_command("AUTH", "limited", "x")
            standbys.note(limited, "a:1")
            limited.connection.disconnect()
    finally:
        redis.execute_command("ACL", "DELUSER", "limited")
    assert standbys.read(redis) == ()
