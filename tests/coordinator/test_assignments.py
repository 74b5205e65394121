"""The leader's copy of who runs what: whichever way it is asked, it says the same."""

from __future__ import annotations

import random
from collections import Counter

import redis as redis_module

from afx.cluster.leadership import Leader
from afx.coordinator.assignments import AssignmentTable
from afx.coordinator.orders import Orders
from afx.security.signing import SigningKeys
from models.storage.assignments import Active


def test_what_is_asked_by_node_or_by_state_is_what_is_held(
    redis: redis_module.Redis, redis_url: str
) -> None:
    leader = Leader(redis_url, 60.0, 30.0)
    assert leader.acquire()
    table = AssignmentTable(redis, leader, Orders(redis, SigningKeys([b"k" * 32]), 60.0), 0.0)
    dice = random.Random(1)
    for epoch in range(1, 400):
        session = dice.randrange(20)
        if session not in table.active:
            node = f"w{dice.randrange(3)}"
            table.add({session: Active(session, node, f"{node}-1", epoch, "assigned", 0)})
        elif dice.random() < 0.7:
            table.set_state(session, dice.choice(["running", "stopping"]))
        else:
            table.drop([table.active[session]])
        held = table.active.values()
        assert table.counts() == Counter(it.incarnation for it in held)
        for number in range(3):
            mine = {it.session for it in held if it.incarnation == f"w{number}-1"}
            assert {it.session for it in table.on(f"w{number}-1")} == mine
        for state in ("assigned", "stopping"):
            late = table.late(state, {"w0-1", "w1-1"}, float(epoch), -1.0)
            assert {it.session for it in late} == {
                it.session for it in held if it.state == state and it.incarnation != "w2-1"
            }
    leader.close()
