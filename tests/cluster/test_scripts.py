"""Each Lua script alone, on a real Redis."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis as redis_module

from afx.cluster import keys, scripts
from afx.cluster.connection import connect
from afx.cluster.registry import Identity, Metrics, MissingError, Registry
from afx.cluster.scripts import FencedScript, source
from afx.cluster.writes import write
from afx.coordinator.decisions.placement import Placement
from afx.coordinator.wire import (
    Headroom,
    place_item,
    release_item,
    reserve_item,
    unreserve_item,
)
from afx.errors import FencedError
from models.storage.assignments import Active

MIB = 1024 * 1024
IDLE = Metrics(
    rss=100 * MIB,
    ram_free=1000 * MIB,
    ram_limit=2000 * MIB,
    cpu=0.1,
    sessions=0,
    starting=0,
    forwarded=0,
)


NO_HEADROOM = Headroom()
LUA = Path(scripts.__file__).parent / "lua"
FENCED = sorted(it.stem for it in LUA.glob("*.lua") if "\n-- include: prelude\n" in it.read_text())


def identity(incarnation: str = "one", most: int = 10) -> Identity:
    return Identity("w1", incarnation, "host", "boot", "pids", "1:1", most)


class ReconcilingRegistry(Registry):
    """Reconciles each node as soon as it has registered, as a leader does."""

    def register(self, identity: Identity, metrics: Metrics) -> bool:
        done = super().register(identity, metrics)
        terms = {it.name: it.reconciled_term for it in self.all()}
        if done and terms[identity.name] != 5 and self._redis.get(keys.TERM) == "5":
            self.reconcile(identity.name, identity.incarnation, (), 5)
        return done


@pytest.fixture
def registry(redis: redis_module.Redis) -> Registry:
    redis.set(keys.TERM, 5)
    return ReconcilingRegistry(redis)


def place(redis: redis_module.Redis, *items: tuple[Active, int], term: int = 5) -> list[str]:
    script = FencedScript(redis, "place")
    return list(script(term, args=[place_item(it, size, NO_HEADROOM) for it, size in items]))


def reserve(redis: redis_module.Redis, *items: Placement, premium_share: float = 0.0) -> list[str]:
    script = FencedScript(redis, "reserve")
    return list(script(5, args=[reserve_item(it, NO_HEADROOM, premium_share) for it in items]))


def fence(
    registry: Registry, incarnation: str, *, term: int = 5, seq: int | None = None, run_id: str = ""
) -> bool:
    """Fence node w1 as a leader does that was elected in the present Redis process."""
    run_id = run_id or str(registry._redis.info("server")["run_id"])
    return registry.fence("w1", incarnation, term=term, run_id=run_id, seq=seq)


def active(session: int, epoch: int, incarnation: str = "one") -> Active:
    return Active(session, "w1", incarnation, epoch, "assigned")


def test_a_heartbeat_raises_seq_and_answers_term_and_desired_state(registry: Registry) -> None:
    assert registry.register(identity(), IDLE)
    assert registry.beat(identity(), IDLE, []) == (5, "ready")
    [view] = registry.all()
    assert (view.seq, view.metrics) == (1, IDLE)


def test_ready_nodes_are_ranked_by_load(registry: Registry, redis: redis_module.Redis) -> None:
    registry.register(identity(), IDLE)
    registry.beat(identity(), IDLE, [])
    assert redis.zscore(keys.LOAD, "w1") == pytest.approx(IDLE.load)
    registry.leave("w1", "one")
    assert redis.zscore(keys.LOAD, "w1") is None


def test_a_name_is_taken_while_its_node_may_live(registry: Registry) -> None:
    registry.register(identity("one"), IDLE)
    assert not registry.register(identity("two"), IDLE)
    fence(registry, "one")
    assert registry.register(identity("two"), IDLE)


def test_a_fenced_node_and_a_foreign_incarnation_cannot_beat(registry: Registry) -> None:
    registry.register(identity("one"), IDLE)
    with pytest.raises(FencedError):
        registry.beat(identity("other"), IDLE, [])
    fence(registry, "one")
    with pytest.raises(FencedError):
        registry.beat(identity("one"), IDLE, [])


def test_a_leader_of_an_old_term_fences_no_node(registry: Registry) -> None:
    registry.register(identity(), IDLE)
    with pytest.raises(FencedError):
        fence(registry, "one", term=4)
    assert registry.beat(identity(), IDLE, []) == (5, "ready")


def test_a_heartbeat_that_came_since_keeps_a_node_from_being_fenced(registry: Registry) -> None:
    """Otherwise it would be replaced although it has just renewed its lease."""
    registry.register(identity(), IDLE)
    [seen] = registry.all()
    registry.beat(identity(), IDLE, [])
    assert not fence(registry, "one", seq=seen.seq)
    assert fence(registry, "one", seq=seen.seq + 1)


def test_a_leader_that_another_redis_process_elected_fences_no_node(registry: Registry) -> None:
    """This one may lack the last heartbeats, so that an old seq seems to be the last."""
    registry.register(identity(), IDLE)
    [seen] = registry.all()
    for seq in (seen.seq, None):
        with pytest.raises(FencedError):
            fence(registry, "one", seq=seq, run_id="0" * 40)
    assert registry.beat(identity(), IDLE, []) == (5, "ready")
    assert fence(registry, "one")


@pytest.mark.parametrize(("ending", "told"), [("left", "one"), ("fenced", "")])
def test_only_an_incarnation_that_left_is_known_to_have_ended(
    registry: Registry, ending: str, told: str
) -> None:
    registry.register(identity("one"), IDLE)
    if ending == "left":
        registry.leave("w1", "one")
    else:
        fence(registry, "one")
    registry.register(identity("two"), IDLE)
    assert [it.ended for it in registry.all()] == [told]


def test_a_later_incarnation_is_not_fenced_for_an_earlier(registry: Registry) -> None:
    registry.register(identity("two"), IDLE)
    assert not fence(registry, "one")


def test_a_place_is_reserved_until_the_rss_includes_it(
    registry: Registry, redis: redis_module.Redis
) -> None:
    registry.register(identity(), IDLE)
    assert place(redis, (active(7, 1), 300 * MIB)) == ["OK"]
    assert registry.all()[0].reserved == 300 * MIB
    registry.beat(identity(), IDLE, [7])
    assert registry.all()[0].reserved == 0
    assert registry.all()[0].assigned == 1


def test_ram_is_never_promised_twice(registry: Registry, redis: redis_module.Redis) -> None:
    registry.register(identity(), IDLE)
    answers = place(redis, *((active(number, 1), 400 * MIB) for number in range(1, 5)))
    assert answers == ["OK", "OK", "NOFIT", "NOFIT"]


def test_no_node_gets_more_sessions_than_it_may(
    registry: Registry, redis: redis_module.Redis
) -> None:
    registry.register(identity(most=2), IDLE)
    assert place(redis, *((active(it, 1), 1) for it in (1, 2, 3))) == ["OK", "OK", "NOFIT"]


def test_the_leaders_scripts_are_known() -> None:
    assert FENCED == [
        "fence",
        "forget",
        "place",
        "reconcile",
        "release",
        "reserve",
        "restore",
        "set_desired_state",
        "unreserve",
        "write",
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
    if path.stem not in ("prelude", "room"):
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
    body = json.dumps({"cursor": ["account", "5:0:0"], "hashes": [["h", "1", "2"]]})
    tried = [("one", 3), ("one", 2), ("other", 3)]
    answers = [
        commit(keys=[keys.assignment(1), keys.cursor(1)], args=[*it, 60, body]) for it in tried
    ]
    assert answers == [1, 0, 0]
    assert redis.hgetall(keys.cursor(1)) == {"account": "5:0:0"}
    assert redis.hgetall("h") == {"1": "2"}
    assert 0 < redis.ttl("h") <= 60


def test_one_coordinator_leads_and_each_new_one_has_a_higher_term(
    redis: redis_module.Redis,
) -> None:
    lead = redis.register_script(source("lead"))
    resign = redis.register_script(source("resign"))

    def tried(holder: str, held: int = 0, above: int = 0) -> int:
        return int(lead(keys=[keys.LEADER, keys.TERM], args=[holder, 5000, held, above]))

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


def test_a_node_that_redis_has_lost_gets_another_answer_than_a_fenced_one(
    registry: Registry, redis: redis_module.Redis
) -> None:
    registry.register(identity(), IDLE)
    redis.flushall()
    with pytest.raises(MissingError):
        registry.beat(identity(), IDLE, [])
    assert registry.register(identity(), IDLE)
    registry.beat(identity(), IDLE, [])


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


def test_a_nodes_desired_state_is_answered_to_its_heartbeat(
    registry: Registry, redis: redis_module.Redis
) -> None:
    registry.register(identity(), IDLE)
    assert registry.set_desired_state("w1", "one", "draining", 5)
    assert registry.beat(identity(), IDLE, [], "ready")[1] == "draining"
    registry.beat(identity(), IDLE, [], "draining")
    assert (registry.all()[0].state, registry.all()[0].seen) == ("draining", "draining")
    assert place(redis, (active(1, 9), MIB)) == ["STALE"]
    assert not registry.set_desired_state("w1", "two", "ready", 5)
    with pytest.raises(FencedError):
        registry.set_desired_state("w1", "one", "ready", 4)
    registry.leave("w1", "one")
    assert not registry.set_desired_state("w1", "one", "ready", 5)


def test_a_late_registration_of_a_running_node_takes_nothing_from_it(
    registry: Registry, redis: redis_module.Redis
) -> None:
    """The call comes late or twice, when sessions are placed on the node already."""
    registry.register(identity(), IDLE)
    place(redis, (active(1, 10), 5 * MIB))
    assert registry.register(identity(), IDLE)
    [view] = registry.all()
    assert (view.assigned, view.reserved, view.seq) == (1, 5 * MIB, 1)


@pytest.mark.parametrize("how", ["fenced", "left"])
def test_an_incarnation_that_has_ended_does_not_register_again(
    registry: Registry, how: str
) -> None:
    registry.register(identity(), IDLE)
    if how == "fenced":
        fence(registry, "one")
    else:
        registry.leave("w1", "one")
    with pytest.raises(FencedError):
        registry.register(identity(), IDLE)
    assert registry.register(identity("two"), IDLE)


def test_only_a_dead_node_is_forgotten_and_only_by_the_leader(
    registry: Registry, redis: redis_module.Redis
) -> None:
    registry.register(identity(), IDLE)
    registry.forget("w1", 5)
    assert [it.name for it in registry.all()] == ["w1"]
    fence(registry, "one")
    with pytest.raises(FencedError):
        registry.forget("w1", 4)
    registry.forget("w1", 5)
    assert not registry.all()
    assert set(redis.keys("*")) == {keys.TERM}


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
