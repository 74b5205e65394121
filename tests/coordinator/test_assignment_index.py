"""The leader's copy of the assignments: each way to ask gives the same answer."""

from __future__ import annotations

import random
from collections import Counter

from afx.coordinator.assignment_index import AssignmentIndex
from models.storage.assignments import Active


def test_queries_by_node_and_by_state_agree_with_the_assignments() -> None:
    index = AssignmentIndex()
    dice = random.Random(1)
    for epoch in range(1, 400):
        session = dice.randrange(20)
        if session not in index.active:
            node = f"w{dice.randrange(3)}"
            index.add(Active(session, node, f"{node}-1", epoch, "assigned", 0))
        elif dice.random() < 0.7:
            index.set_state(session, dice.choice(["running", "stopping"]))
        else:
            index.remove(session)
        actives = index.active.values()
        assert index.counts() == Counter(it.incarnation for it in actives)
        assert index.has_stopping() == any(it.state == "stopping" for it in actives)
        for n in range(3):
            assert index.count_on_worker(f"w{n}") == sum(it.worker == f"w{n}" for it in actives)
            mine = {it.session for it in actives if it.incarnation == f"w{n}-1"}
            assert {it.session for it in index.on(f"w{n}-1")} == mine
        now = float(epoch)
        assert index.late({"w0-1", "w1-1"}, now + 1, now) == [
            it
            for it in index.late({"w0-1", "w1-1", "w2-1"}, now + 1, now)
            if it.incarnation != "w2-1"
        ]
        assert {it.session for it in index.late({"w0-1", "w1-1", "w2-1"}, now + 1, now)} == {
            it.session for it in actives if it.state != "running"
        }


def test_an_order_that_is_repeated_is_still_unanswered() -> None:
    index = AssignmentIndex([Active(1, "w1", "w1-1", 5, "assigned", 0)])
    assert index.unanswered("assigned", {"w1-1"}, 90.0, 100.0) == []
    index.note_ordered(1, 125.0)
    assert index.late({"w1-1"}, 120.0, 130.0) == []
    assert [it.session for it in index.unanswered("assigned", {"w1-1"}, 101.0, 130.0)] == [1]


def test_the_answer_time_out_starts_with_the_first_order_to_the_node() -> None:
    index = AssignmentIndex([Active(1, "w1", "w1-1", 5, "assigned", 0)])
    assert index.unanswered("assigned", set(), 90.0, 100.0) == []
    assert index.unanswered("assigned", {"w1-1"}, 140.0, 150.0) == []
    assert index.unanswered("assigned", {"w1-1"}, 149.0, 160.0) == []
    assert [it.session for it in index.unanswered("assigned", {"w1-1"}, 151.0, 161.0)] == [1]


def test_a_new_state_expects_a_new_answer() -> None:
    index = AssignmentIndex([Active(1, "w1", "w1-1", 5, "assigned", 0)])
    index.note_ordered(1, 100.0)
    index.set_state(1, "running")
    assert index.late({"w1-1"}, 500.0, 501.0) == []
    index.set_state(1, "stopping")
    index.note_ordered(1, 600.0)
    assert index.late({"w1-1"}, 600.0, 601.0) == []
    assert [it.state for it in index.late({"w1-1"}, 601.0, 611.0)] == ["stopping"]


def test_nodes_that_have_started_or_ended_a_session_lately_are_answering() -> None:
    index = AssignmentIndex(
        [Active(it, f"w{it}", f"w{it}-1", it, "assigned", 0) for it in range(1, 5)]
    )
    index.set_state(1, "running")
    index.remove(2)
    index.set_state(3, "stopping")  # an order, no answer
    assert index.answering(90.0, 100.0) == {"w1-1", "w2-1"}
    index.set_state(1, "running")  # said once more
    assert index.answering(100.0, 110.0) == {"w1-1", "w2-1"}
    assert index.answering(100.5, 111.0) == set()
