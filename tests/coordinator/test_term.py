"""One term of leadership: real Redis, real SQL, nodes that only send heartbeats."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.term_harness import IDLE, TermHarness, add, placed, running

from afx.cluster import keys
from afx.errors import FencedError
from models.base import transaction
from models.storage import assignments, cluster, controls, queue, rules, sessions, workers
from models.storage.control_subjects import SessionSubject


def test_unschedulable_sessions_do_not_hold_up_those_behind_them(
    home: Path, redis_url: str, sql: None
) -> None:
    """They are more than one query finds, and have waited longer."""
    del sql
    harness = TermHarness(home, redis_url, placed_per_round=4)
    stuck = add("mars", 14, region="mars")
    harness.add_node("w1", 10, region="eu")
    harness.until(lambda: queue.count() == 14)
    late = add("earth", 6)
    harness.until(lambda: set(placed()) == set(late))
    assert queue.ids() == set(stuck)
    assert {it["reason"] for it in queue.listing().rows} == {"no ready node has region=mars"}
    harness.close()


def test_a_session_that_is_paused_or_removed_leaves_the_overflow(harness: TermHarness) -> None:
    one, two, three = add("alice", 3, region="mars")
    harness.until(lambda: queue.count() == 3 and len(harness.overflow()) == 3)
    sessions.set_desired_state(sessions.find(str(one)), "paused")
    sessions.remove_unused(sessions.find(str(two)))
    harness.until(lambda: queue.ids() == {three} and harness.overflow() == {f"overflow-{three}"})


def test_a_node_that_redis_has_lost_gets_no_more_than_its_capacity(harness: TermHarness) -> None:
    """It registers again in the same term, and seems to be empty."""
    node = harness.add_node("w1", 3)
    first = add("alice", 2)
    harness.until(lambda: set(placed()) == set(first))
    harness.redis.delete(keys.worker("w1"))
    harness.registry.register(node, IDLE)
    add("bob", 4)
    harness.until(lambda: queue.count() == 3)
    assert len(placed()) == 3
    [view] = harness.registry.all()
    assert view.assigned == 3


def test_a_session_counts_as_running_when_its_node_reports_it(
    harness: TermHarness,
) -> None:
    harness.add_node("w1")
    [session] = add("alice", 1)
    harness.obeying = False
    harness.until(lambda: bool(harness.sent("start", session)))
    assert [it.state for it in assignments.active()] == ["assigned"]
    assert harness.redis.exists(keys.spec(session))
    harness.obeying = True
    harness.until(lambda: running() == {session})  # the order was repeated
    assert {it.epoch for it in harness.sent("start", session)} == {
        it.epoch for it in assignments.active()
    }


def test_the_place_of_a_paused_session_is_free_when_its_node_reports_the_stop(
    harness: TermHarness,
) -> None:
    harness.add_node("w1")
    [session] = add("alice", 1)
    harness.until(lambda: running() == {session})
    harness.obeying = False
    sessions.set_desired_state(sessions.find(str(session)), "paused")
    harness.until(lambda: bool(harness.sent("stop", session)))
    assert [it.state for it in assignments.active()] == ["stopping"]
    assert harness.registry.all()[0].assigned == 1
    harness.obeying = True
    harness.until(lambda: not assignments.active())
    assert harness.registry.all()[0].assigned == 0
    assert harness.redis.hget(keys.assignment(session), "node") == ""


def test_the_sessions_of_a_dead_node_run_elsewhere_under_higher_epochs(
    harness: TermHarness,
) -> None:
    harness.add_node("w1")
    made = add("alice", 3)
    harness.until(lambda: running() == set(made))
    before = {it.session: it.epoch for it in assignments.active()}
    harness.add_node("w2")
    harness.kill_node("w1")
    harness.until(lambda: placed() == dict.fromkeys(made, "w2"))
    assert all(it.epoch > before[it.session] for it in assignments.active())


def test_a_drained_nodes_session_moves_without_running_twice(harness: TermHarness) -> None:
    harness.add_node("w1")
    [session] = add("alice", 1)
    harness.until(lambda: running() == {session})
    harness.add_node("w2")
    with transaction():
        workers.set_desired_state("w1", "draining")
    harness.until(lambda: placed() == {session: "w2"} and running() == {session})
    kinds = [(it.kind, it.node) for it in harness.orders.sent if it.session == session]
    stopped = kinds.index(("stop", "w1"))
    assert ("start", "w2") in kinds[stopped:] and ("start", "w2") not in kinds[:stopped]


def test_a_session_that_ended_is_not_placed_before_its_cool_down_is_over(
    home: Path, redis_url: str, sql: None
) -> None:
    del sql
    harness = TermHarness(home, redis_url, cool_down_seconds=3.0)
    harness.add_node("w1")
    [session] = add("alice", 1)
    harness.until(lambda: running() == {session})
    harness.report_failure(session)
    harness.until(lambda: not assignments.active())
    ended_at = harness.now
    sessions.set_desired_state(sessions.find(str(session)), "running")  # no pause before a retry
    harness.until(lambda: bool(assignments.active()))
    assert harness.now - ended_at >= 3.0
    harness.close()


def test_a_leader_of_an_old_term_places_nothing(harness: TermHarness) -> None:
    harness.add_node("w1")
    harness.tick()
    [session] = add("alice", 1)
    with transaction():
        cluster.hold(harness.leadership.term + 1)
    with pytest.raises(FencedError):
        harness.until(lambda: False)
    assert not assignments.active()
    assert not harness.sent("start", session)
    assert harness.registry.all()[0].assigned == 0


def test_a_new_term_orders_what_should_run_and_stops_nothing(harness: TermHarness) -> None:
    harness.add_node("w1")
    made = add("alice", 3)
    harness.until(lambda: running() == set(made))
    before = {it.session: it.epoch for it in assignments.active()}
    harness.orders.sent.clear()
    harness.redis.delete(*(keys.assignment(it) for it in made))
    harness.change_leader()
    harness.until(lambda: all(harness.sent("start", it) for it in made))
    assert {it.session: it.epoch for it in assignments.active()} == before
    assert {it.kind for it in harness.orders.sent} == {"start"}
    assert all(harness.redis.hget(keys.assignment(it), "node") == "w1" for it in made)


def test_a_node_that_never_answers_an_order_is_restarted(harness: TermHarness) -> None:
    harness.add_node("w1")
    add("bob", 1)
    harness.until(lambda: bool(running()))
    harness.obeying = False
    [session] = add("alice", 1)
    harness.until(lambda: harness.registry.all()[0].state == "recycling")
    assert len(harness.sent("start", session)) > 1


def test_the_reservation_of_a_move_is_released_when_the_session_is_paused(
    harness: TermHarness,
) -> None:
    harness.add_node("w1")
    [session] = add("alice", 1)
    harness.until(lambda: running() == {session})
    harness.add_node("w2")
    harness.obeying = False
    with transaction():
        workers.set_desired_state("w1", "draining")
    harness.until(lambda: harness.assigned() == {"w1": 1, "w2": 1})
    sessions.set_desired_state(sessions.find(str(session)), "paused")
    harness.obeying = True
    harness.until(lambda: not assignments.active())
    assert harness.assigned() == {"w1": 0, "w2": 1}
    harness.until(lambda: harness.assigned() == {"w1": 0, "w2": 0})


@pytest.mark.parametrize("target", ["w2", "w3"])
def test_a_session_moved_by_hand_off_a_draining_node_reserves_room_once(
    harness: TermHarness, target: str
) -> None:
    harness.add_node("w1")
    [session] = add("alice", 1)
    harness.until(lambda: running() == {session})
    harness.add_node("w2")
    harness.add_node("w3")
    harness.until(lambda: harness.assigned() == {"w1": 1, "w2": 0, "w3": 0})
    workers.set_desired_state("w1", "draining")
    subject = SessionSubject(session)
    controls.request(kind="move", subject=subject, actor="test", target=target)
    harness.until(lambda: placed().get(session, "w1") != "w1" and running() == {session})
    assert sorted(harness.assigned().values()) == [0, 0, 1]


def test_a_move_that_is_requested_during_another_one_ends_with_it(harness: TermHarness) -> None:
    for name in ("w1", "w2"):
        harness.add_node(name)
    [session] = add("alice", 1)
    harness.until(lambda: running() == {session})
    harness.obeying = False
    home = placed()[session]
    workers.set_desired_state(home, "draining")
    harness.until(lambda: bool(harness.sent("stop", session)))
    workers.set_desired_state(home, "ready")
    controls.request(kind="move", subject=SessionSubject(session), actor="test")
    harness.until(lambda: [it.state for it in controls.open_ones()] == ["sent"])
    harness.obeying = True
    harness.until(lambda: running() == {session} and not controls.open_ones())


def test_a_new_rule_reaches_a_running_session_by_an_order_and_without_a_restart(
    harness: TermHarness,
) -> None:
    harness.add_node("w1")
    [session] = add("alice", 1)
    harness.until(lambda: running() == {session})
    before = assignments.active()
    rules.create(sessions.find(str(session)), ["@a"], ["@b"], name="more")
    begun = harness.now
    harness.until(lambda: bool(harness.sent("renew", session)))
    assert harness.now - begun < 1.0
    assert len(harness.sent("start", session)) == 1 and not harness.sent("stop", session)
    assert assignments.active() == before
    spec = str(harness.redis.get(keys.spec(session)))
    assert '"@a"' in spec, "the node reads the spec with the rule"
    assert sessions.renewing(10) == {}
