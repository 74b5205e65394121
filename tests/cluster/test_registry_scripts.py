"""The scripts that register, renew and fence nodes, on a real Redis."""

from __future__ import annotations

import pytest
import redis as redis_module
from support.registries import (
    IDLE,
    MIB,
    ReconcilingRegistry,
    active,
    fence,
    identity,
    place,
)

from afx.cluster import keys
from afx.cluster.registry import MissingError, Registry
from afx.errors import FencedError


@pytest.fixture
def registry(redis: redis_module.Redis) -> Registry:
    redis.set(keys.TERM, 5)
    return ReconcilingRegistry(redis)


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


def test_a_name_stays_taken_while_its_node_may_be_live(registry: Registry) -> None:
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


@pytest.mark.parametrize(("ending", "ended"), [("left", "one"), ("fenced", "")])
def test_only_an_incarnation_that_left_is_known_to_have_ended(
    registry: Registry, ending: str, ended: str
) -> None:
    registry.register(identity("one"), IDLE)
    if ending == "left":
        registry.leave("w1", "one")
    else:
        fence(registry, "one")
    registry.register(identity("two"), IDLE)
    assert [it.ended for it in registry.all()] == [ended]


def test_a_later_incarnation_is_not_fenced_for_an_earlier(registry: Registry) -> None:
    registry.register(identity("two"), IDLE)
    assert not fence(registry, "one")


def test_a_node_that_redis_has_lost_gets_another_answer_than_a_fenced_one(
    registry: Registry, redis: redis_module.Redis
) -> None:
    registry.register(identity(), IDLE)
    redis.flushall()
    with pytest.raises(MissingError):
        registry.beat(identity(), IDLE, [])
    assert registry.register(identity(), IDLE)
    registry.beat(identity(), IDLE, [])


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
