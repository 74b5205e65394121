"""SQL loses its last commits: what nodes run is found, stopped, and never runs twice."""

from __future__ import annotations

import pytest
from support.term_harness import IDLE, TermHarness, add, placed, running

from afx.cluster import keys, quarantine, report_stream
from afx.cluster.reports import DeadLettered
from afx.errors import FencedError
from afx.reasons import DeadReason
from models.storage import assignments, dead_letters, rules, sessions
from models.tables import ClusterState, SessionAssignment


def lose_last(harness: TermHarness, *lost: int) -> None:
    """Remove the last assignments from SQL, and change the leader."""
    SessionAssignment.delete().where(SessionAssignment.session_id.in_(lost)).execute()
    harness.change_leader()


def wait_in_vain(harness: TermHarness) -> None:
    """Let most of the time pass in which nodes may say what they run."""
    for _ in range(29):
        harness.tick(1.0)


def where(harness: TermHarness, session: int) -> set[str]:
    return {node for node, _ in harness.live[session]}


def test_a_session_whose_assignment_sql_has_lost_never_runs_twice(harness: TermHarness) -> None:
    harness.add_node("w1")
    lost, kept = add("alice", 2)
    harness.until(lambda: running() == {lost, kept})
    harness.add_node("w2", most=1000)
    lose_last(harness, lost)
    harness.until(lambda: running() == {lost, kept})
    assert harness.sent("stop", lost)
    assert not harness.sent("stop", kept)
    assert where(harness, lost) == {placed()[lost]}
    assert not harness.ran_twice


def test_a_session_that_sql_has_lost_is_not_placed_while_its_node_is_silent(
    harness: TermHarness,
) -> None:
    """It sends heartbeats and answers nothing: only its end makes the session free."""
    harness.add_node("w1")
    [session] = add("alice", 1)
    harness.until(lambda: running() == {session})
    harness.add_node("w2")
    harness.obeying = False
    lose_last(harness, session)
    wait_in_vain(harness)
    harness.until(lambda: bool(harness.sent("stop", session)))
    assert not placed()
    harness.kill_node("w1")
    harness.obeying = True
    harness.until(lambda: placed() == {session: "w2"} and running() == {session})
    assert not harness.ran_twice


@pytest.mark.parametrize("record", ["fenced", "lost"])
def test_the_owner_that_a_leader_did_not_release_is_released_when_its_node_has_ended(
    harness: TermHarness, record: str
) -> None:
    harness.add_node("w1")
    [session] = add("alice", 1)
    harness.until(lambda: running() == {session})
    harness.add_node("w2")
    harness.kill_node("w1")
    if record == "lost":
        harness.redis.delete(keys.worker("w1"))
    lose_last(harness, session)
    begun = harness.now
    harness.until(lambda: placed() == {session: "w2"})
    assert harness.now - begun >= 4.0  # a whole lease, for no process was seen to end


def lose_everywhere(harness: TermHarness, session: int) -> None:
    """Let Redis lose an assignment too: only the node knows that it runs the session."""
    harness.redis.delete(keys.assignment(session))
    lose_last(harness, session)


def test_a_session_that_both_stores_have_lost_is_not_placed_before_its_node_has_answered(
    harness: TermHarness,
) -> None:
    harness.add_node("w1")
    harness.add_node("w2")
    [session] = add("alice", 1)
    harness.until(lambda: running() == {session})
    harness.obeying = False
    lose_everywhere(harness, session)
    for _ in range(40):
        harness.tick()
    assert not placed()
    harness.change_leader()  # it asks again; what was asked before was not answered
    harness.obeying = True
    harness.until(lambda: running() == {session})
    assert where(harness, session) == {placed()[session]}
    assert not harness.ran_twice


def test_a_node_that_never_says_what_it_runs_holds_up_placement_for_a_limited_time(
    harness: TermHarness,
) -> None:
    harness.add_node("w1")
    harness.add_node("w2")
    harness.obeying = False
    harness.change_leader()
    [session] = add("alice", 1)
    wait_in_vain(harness)
    assert not placed()
    harness.until(lambda: session in placed())


def test_a_node_that_registers_later_is_not_awaited(harness: TermHarness) -> None:
    harness.until(lambda: harness.term._unknown._awaited is not None)
    harness.obeying = False
    harness.add_node("w1")
    [session] = add("alice", 1)
    begun = harness.now
    harness.until(lambda: session in placed())
    assert harness.now - begun < 5.0


def test_a_paused_session_that_sql_has_lost_is_stopped(harness: TermHarness) -> None:
    """It is not to be placed: only the inventory of its node shows it."""
    harness.add_node("w1")
    [session] = add("alice", 1)
    harness.until(lambda: running() == {session})
    sessions.set_desired_state(sessions.find(str(session)), "paused")
    harness.redis.delete(keys.assignment(session))
    lose_last(harness, session)
    harness.until(lambda: bool(harness.sent("stop", session)) and not where(harness, session))
    assert not assignments.active()


def test_an_inventory_does_not_stop_a_known_session(harness: TermHarness) -> None:
    harness.add_node("w1")
    made = add("alice", 3)
    harness.until(lambda: running() == set(made))
    harness.change_leader()
    for _ in range(30):
        harness.tick()
    assert {it.kind for it in harness.orders.sent} == {"start"}
    assert running() == set(made)


def test_epochs_that_both_stores_have_lost_are_not_given_out_again(harness: TermHarness) -> None:
    harness.add_node("w1")
    [session] = add("alice", 1)
    rule = rules.create(sessions.find(str(session)), ["@a_source"], ["@the_copies"])
    harness.until(lambda: running() == {session})
    [before] = assignments.active()
    SessionAssignment.delete().execute()
    ClusterState.update(generation=0, term=0, commits=0).execute()
    harness.redis.flushall()
    harness.add_node("w1")
    dead = DeadLettered(
        node="w1",
        incarnation=harness.nodes["w1"].incarnation,
        session_id=session,
        epoch=before.epoch,
        rule_id=rule.id,
        source=-5,
        destination=-6,
        message_ids=(1,),
        reason=next(iter(DeadReason)),
    )
    report_stream.publish(harness.redis, [dead])  # before the proof
    harness.change_leader()
    with pytest.raises(FencedError):
        for _ in range(10):
            harness.tick()
    harness.change_leader()
    harness.until(lambda: running() == {session})
    assert dead_letters.count(rule.id) == 1
    assert quarantine.refused_count(harness.redis) == 0
    [after] = assignments.active()
    assert after.epoch > before.epoch
    assert not harness.ran_twice


def run_unproved(harness: TermHarness) -> int:
    """Let w1 run a session under an epoch that all stores have lost, and not prove it; returns it.

    The node is older, or has read no spec since the coordinators are newer.
    """
    harness.proving = False
    harness.add_node("w1")
    harness.change_leader()
    [session] = add("alice", 1)
    harness.until(lambda: running() == {session})
    SessionAssignment.delete().execute()
    ClusterState.update(generation=0, term=0, commits=0).execute()
    harness.redis.flushall()
    harness.add_node("w1")
    harness.add_node("w2", most=1000)
    harness.change_leader()
    for _ in range(4):
        wait_in_vain(harness)
    return session


def test_a_session_of_a_lost_epoch_that_its_node_does_not_prove_waits_for_the_end_of_the_node(
    harness: TermHarness,
) -> None:
    session = run_unproved(harness)
    assert not placed()
    assert not harness.sent("stop", session), "it would take no later epoch"
    [other] = add("bob", 1)
    harness.until(lambda: other in running())
    harness.kill_node("w1")
    harness.until(lambda: placed().get(session) == "w2")
    assert not harness.ran_twice


def test_a_session_of_a_lost_epoch_is_placed_when_its_node_says_that_it_runs_it_no_more(
    harness: TermHarness,
) -> None:
    """It has ended there by itself; or the inventory that named it was forged."""
    session = run_unproved(harness)
    assert not placed()
    harness.live[session].clear()
    wait_in_vain(harness)
    harness.until(lambda: running() == {session})
    assert not harness.ran_twice


def lose_all_data(harness: TermHarness, generation: str = "") -> None:
    """Let SQL lose the assignments, and Redis everything; then another leader begins.

    With ``generation`` Redis is back from a file that was written in that one.
    """
    SessionAssignment.delete().execute()
    harness.redis.flushall()
    if generation:
        harness.redis.set(keys.GENERATION, generation)
    harness.change_leader()


@pytest.mark.parametrize("generation", ["", "1"])
def test_nothing_is_placed_while_a_node_may_run_of_which_redis_lost_the_record(
    harness: TermHarness, generation: str
) -> None:
    harness.change_leader()
    harness.add_node("w1")
    [session] = add("alice", 1)
    harness.until(lambda: running() == {session})
    harness.kill_node("w1")  # it runs on, and reaches no one
    lose_all_data(harness, generation)
    harness.add_node("w2")
    begun = harness.now
    harness.until(lambda: placed() == {session: "w2"})
    assert harness.now - begun >= 4.9


def test_a_node_that_registers_again_in_time_is_asked_first(harness: TermHarness) -> None:
    harness.add_node("w1")
    [session] = add("alice", 1)
    harness.until(lambda: running() == {session})
    identity = harness.nodes["w1"]
    harness.kill_node("w1")
    lose_all_data(harness)
    harness.add_node("w2", most=1000)
    for _ in range(30):
        harness.tick()
    assert harness.registry.register(identity, IDLE)
    harness.nodes["w1"] = identity
    harness.until(lambda: running() == {session})
    assert harness.sent("stop", session)
    assert not harness.ran_twice


def test_a_leader_after_the_first_one_waits_for_the_rest_of_the_time(harness: TermHarness) -> None:
    harness.add_node("w1")
    [session] = add("alice", 1)
    harness.until(lambda: running() == {session})
    harness.kill_node("w1")
    lose_all_data(harness)
    harness.change_leader()
    harness.add_node("w2")
    begun = harness.now
    harness.until(lambda: placed() == {session: "w2"})
    assert harness.now - begun >= 3.0


def test_the_first_leader_of_a_cluster_waits_for_nothing(harness: TermHarness) -> None:
    harness.add_node("w1")
    [session] = add("alice", 1)
    begun = harness.now
    harness.until(lambda: placed() == {session: "w1"})
    assert harness.now - begun < 1.0


def test_a_node_whose_record_was_lost_since_it_was_read_is_not_alive(harness: TermHarness) -> None:
    harness.add_node("w1")
    harness.tick()
    [node] = harness.registry.all()
    detector = harness.term._detector
    assert detector.is_alive(node, harness.now)
    harness.redis.flushall()
    detector.find_dead(harness.registry.all(), [], harness.now)
    assert not detector.is_alive(node, harness.now)
