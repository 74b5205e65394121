"""Each Lua script alone, on a real Redis."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import pytest
import redis as redis_module
from support.links import stored_links, way_back
from support.registries import (
    IDLE,
    MIB,
    ReconcilingRegistry,
    active,
    fence,
    identity,
    place,
    reserve,
)

from afx.cluster import keys, scripts
from afx.cluster.connection import connect
from afx.cluster.links import CopyLink, CopyRoute, writes
from afx.cluster.registry import Registry
from afx.cluster.scripts import FencedScript, source
from afx.cluster.writes import write
from afx.coordinator.decisions.placement import Placement
from afx.coordinator.wire import (
    release_item,
    unreserve_item,
)
from afx.errors import FencedError
from models.storage.assignments import Active

LUA = Path(scripts.__file__).parent / "lua"


FENCED = sorted(it.stem for it in LUA.glob("*.lua") if "\n-- include: prelude\n" in it.read_text())


@pytest.fixture
def registry(redis: redis_module.Redis) -> Registry:
    redis.set(keys.TERM, 5)
    return ReconcilingRegistry(redis)


def test_a_place_is_reserved_until_the_rss_includes_it(
    registry: Registry, redis: redis_module.Redis
) -> None:
    registry.register(identity(), IDLE)
    assert place(redis, (active(7, 1), 300 * MIB)) == ["OK"]
    assert registry.all()[0].reserved == 300 * MIB
    registry.beat(identity(), IDLE, [7])
    assert registry.all()[0].reserved == 0
    assert registry.all()[0].assigned == 1


def test_ram_is_never_reserved_twice(registry: Registry, redis: redis_module.Redis) -> None:
    registry.register(identity(), IDLE)
    answers = place(redis, *((active(number, 1), 400 * MIB) for number in range(1, 5)))
    assert answers == ["OK", "OK", "NOFIT", "NOFIT"]


def test_no_node_gets_more_sessions_than_it_may(
    registry: Registry, redis: redis_module.Redis
) -> None:
    registry.register(identity(most=2), IDLE)
    assert place(redis, *((active(it, 1), 1) for it in (1, 2, 3))) == ["OK", "OK", "NOFIT"]


def test_the_list_of_leader_scripts_is_complete() -> None:
    assert FENCED == [
        "begin_generation",
        "copied_links",
        "fence",
        "forget",
        "place",
        "publish_tasks",
        "reconcile",
        "release",
        "reserve",
        "restore",
        "restore_links",
        "set_desired_state",
        "unreserve",
        "withdraw_tasks",
        "write",
        "write_expiring",
    ]


@pytest.mark.parametrize("name", FENCED)
@pytest.mark.parametrize("newest", [None, 6])
def test_the_leaders_scripts_change_nothing_in_another_term(
    redis: redis_module.Redis, name: str, newest: int | None
) -> None:
    if newest:
        redis.set(keys.TERM, newest)
    before = redis.keys("*")
    with pytest.raises(FencedError, match="since term 5"):
        FencedScript(redis, name)(5, keys=["a", "b", "c"], args=["x", "y", "z"])
    assert redis.keys("*") == before


@pytest.mark.parametrize("path", sorted(LUA.glob("*.lua")), ids=lambda it: it.stem)
def test_each_script_states_its_keys_arguments_and_answer(path: Path) -> None:
    text = path.read_text()
    if path.stem not in ("blocks", "pool", "prelude", "room", "spoiled"):
        assert all(f"\n-- {it}: " in text for it in ("KEYS", "ARGV", "Answer"))
    if path.stem in FENCED:
        assert '"FENCED" for an' in text


def test_old_epochs_and_other_incarnations_place_nothing(
    registry: Registry, redis: redis_module.Redis
) -> None:
    registry.register(identity(), IDLE)
    assert place(redis, (active(1, 9), 1)) == ["OK"]
    assert place(redis, (active(1, 9), 1)) == ["STALE"]
    assert place(redis, (active(1, 8), 1)) == ["STALE"]
    assert place(redis, (active(2, 1, "other"), 1)) == ["STALE"]


@pytest.mark.parametrize("owner", ["lives", "fenced", "lost"])
def test_a_session_is_not_placed_before_its_owner_was_released(
    registry: Registry, redis: redis_module.Redis, owner: str
) -> None:
    """SQL may have lost the assignment; data of a fenced owner may still arrive."""
    registry.register(identity("one"), IDLE)
    assert place(redis, (active(1, 9), MIB)) == ["OK"]
    if owner != "lives":
        fence(registry, "one")
        if owner == "lost":
            redis.delete(keys.worker("w1"))
        registry.register(identity("two"), IDLE)
    there = "one" if owner == "lives" else "two"
    assert place(redis, (active(1, 10, there), MIB)) == ["OWNED"]
    release = FencedScript(redis, "release")
    assert release(5, args=[release_item(active(1, 9, "other"))]) == 0
    assert place(redis, (active(1, 10, there), MIB)) == ["OWNED"]
    assert release(5, args=[release_item(active(1, 9, "one"))]) == 1
    assert place(redis, (active(1, 10, there), MIB)) == ["OK"]


def test_a_release_frees_room_once(registry: Registry, redis: redis_module.Redis) -> None:
    registry.register(identity(), IDLE)
    place(redis, (active(1, 1), 300 * MIB))
    release = FencedScript(redis, "release")
    for expected in (1, 0):
        assert release(5, args=[release_item(active(1, 1))]) == expected
    [view] = registry.all()
    assert (view.assigned, view.reserved) == (0, 0)


def test_only_the_owner_of_a_session_commits(registry: Registry, redis: redis_module.Redis) -> None:
    registry.register(identity(), IDLE)
    place(redis, (active(1, 3), 1))
    commit = redis.register_script(source("commit"))
    redis.hset(keys.cursor(1), mapping={"channel:7": 3, "last:8": 4})
    body = json.dumps(["account", "5:0:0", "channel:7", "", "last:8", ""])
    links = writes(1, [CopyLink(CopyRoute(4, 5, 6), 1, 2)])
    blocks = list(chain.from_iterable(links))
    tried = [("one", 3), ("one", 2), ("other", 3)]
    answers = [
        commit(keys=[keys.assignment(1), keys.cursor(1)], args=[*it, 60, body, *blocks])
        for it in tried
    ]
    assert answers == [1, 0, 0]
    assert redis.hgetall(keys.cursor(1)) == {"account": "5:0:0"}
    assert stored_links(redis, 4) == {(4, 5, 6): {1: 2}}
    assert way_back(redis, 6, 2) == {2: (4, 5, 1)}
    names = [*redis.keys("afx:links:*"), *redis.keys("afx:copies:*")]
    names.remove(keys.LINKS_CHANGED)
    assert len(names) == 4
    assert all(0 < redis.ttl(it) <= 60 for it in names)


def test_one_coordinator_leads_and_each_new_one_has_a_higher_term(
    redis: redis_module.Redis,
) -> None:
    lead = redis.register_script(source("lead"))
    resign = redis.register_script(source("resign"))

    def tried(holder: str, current: int = 0, above: int = 0) -> int:
        return int(lead(keys=[keys.LEADER, keys.TERM], args=[holder, 5000, current, above]))

    assert [tried("a"), tried("b"), tried("a", 1), tried("b", 1)] == [1, -1, 1, -1]
    assert resign(keys=[keys.LEADER], args=["b"]) == 0
    assert resign(keys=[keys.LEADER], args=["a"]) == 1
    assert [tried("a", 1), tried("b")] == [-1, 2]
    assert tried("b", 1) == -1  # not the term that it holds
    assert tried("b") == 3  # it leads anew
    redis.flushall()
    assert [tried("b", 3), tried("b", above=7)] == [-1, 8]


def test_owners_that_redis_has_lost_are_written_again_and_newer_ones_stay(
    redis: redis_module.Redis, registry: Registry
) -> None:
    registry.register(identity(), IDLE)
    place(redis, (active(1, 7), MIB))
    restore = FencedScript(redis, "restore")

    def restored(*items: Active) -> int:
        return int(restore(5, args=[release_item(it) for it in items]))

    assert restored(active(1, 7), active(2, 3)) == 1
    assert redis.hget(keys.assignment(2), "incarnation") == "one"
    assert restored(active(1, 6, "old")) == 0
    assert redis.hget(keys.assignment(1), "incarnation") == "one"


def test_progress_of_a_session_whose_owner_redis_has_lost_is_refused_only_for_now(
    redis: redis_module.Redis,
) -> None:
    commit = redis.register_script(source("commit"))
    body = json.dumps({"cursor": ["account", "5:0:0"], "hashes": []})
    answer = commit(keys=[keys.assignment(1), keys.cursor(1)], args=["one", 1, 60, body])
    assert answer == -1
    assert not redis.exists(keys.cursor(1))


def test_room_that_is_reserved_for_a_move_is_used_or_given_back(
    registry: Registry, redis: redis_module.Redis
) -> None:
    registry.register(identity(most=2), IDLE)
    moves = [Placement(n, "w1", "one", 400 * MIB) for n in (1, 2, 3)]
    assert reserve(redis, *moves) == ["OK", "OK", "NOFIT"]
    assert reserve(redis, moves[0]) == ["OK"]
    assert not redis.exists(keys.assignment(1))
    assert registry.all()[0].assigned == 2
    assert place(redis, (active(1, 9), 400 * MIB)) == ["OK"]
    assert (registry.all()[0].assigned, registry.all()[0].reserved) == (2, 800 * MIB)
    unreserve = FencedScript(redis, "unreserve")
    assert unreserve(5, args=[unreserve_item(it) for it in moves[1:]]) == 1
    assert (registry.all()[0].assigned, registry.all()[0].reserved) == (1, 400 * MIB)


def test_a_move_of_a_free_session_leaves_the_premium_reserve(
    registry: Registry, redis: redis_module.Redis
) -> None:
    registry.register(identity(), IDLE)
    move = Placement(1, "w1", "one", 900 * MIB)  # of 1,000 MiB that are free
    assert reserve(redis, move, premium_share=0.1) == ["NOFIT"]
    assert reserve(redis, move) == ["OK"]


def test_no_room_is_reserved_on_a_node_that_is_not_ready_or_is_another(
    registry: Registry, redis: redis_module.Redis
) -> None:
    registry.register(identity(), IDLE)
    assert reserve(redis, Placement(1, "w1", "other", 1)) == ["STALE"]
    registry.set_desired_state("w1", "one", "draining", 5)
    assert reserve(redis, Placement(1, "w1", "one", 1)) == ["STALE"]


def test_counts_and_reservations_are_set_to_what_sql_says(
    registry: Registry, redis: redis_module.Redis
) -> None:
    registry.register(identity(), IDLE)
    place(redis, (active(1, 9), 4 * MIB), (active(2, 10), 5 * MIB))
    registry.reconcile("w1", "one", [2, 3], 5)
    assert (registry.all()[0].assigned, registry.all()[0].reserved) == (2, 5 * MIB)
    with pytest.raises(FencedError):
        registry.reconcile("w1", "one", [], 4)


def test_a_leader_of_an_old_term_writes_nothing(redis: redis_module.Redis) -> None:
    redis.set(keys.TERM, 5)
    write(redis, {f"k{number}": number for number in range(250)}, 5)
    assert redis.mget("k0", "k249") == ["0", "249"]
    with pytest.raises(FencedError):
        write(redis, {"k0": "old"}, 4)
    assert redis.get("k0") == "0"


def test_nodes_are_never_overfilled_however_many_place_at_once(
    registry: Registry, redis: redis_module.Redis
) -> None:
    registry.register(identity(most=60), IDLE)
    url = redis.connection_pool.connection_kwargs["path"]

    def fill(first: int) -> list[str]:
        client = connect(f"unix://{url}")
        answers: list[str] = []
        for session in range(first, first + 50):
            answers += place(client, (active(session, 1000 + session), 20 * MIB))
        client.close()
        return answers

    with ThreadPoolExecutor(4) as threads:
        answers = [it for found in threads.map(fill, range(0, 400, 100)) for it in found]
    [view] = registry.all()
    # 1,000 MiB are free: 50 of 20 MiB each, though 60 sessions would be allowed.
    assert answers.count("OK") == view.assigned == 50
    assert view.reserved == 50 * 20 * MIB


def test_nothing_is_placed_on_a_node_that_is_not_reconciled_in_this_term(
    redis: redis_module.Redis,
) -> None:
    """It may have registered again, with sessions of which Redis has lost the record."""
    redis.set(keys.TERM, 5)
    registry = Registry(redis)
    registry.register(identity(most=3), IDLE)
    assert place(redis, (active(9, 90), MIB)) == ["STALE"]
    registry.reconcile("w1", "one", [1, 2], 5)
    assert registry.all()[0].reconciled_term == 5
    assert place(redis, (active(8, 80), MIB), (active(9, 90), MIB)) == ["OK", "NOFIT"]
    redis.set(keys.TERM, 6)
    assert place(redis, (active(7, 70), MIB), term=6) == ["STALE"]
