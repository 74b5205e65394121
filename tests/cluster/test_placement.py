"""Placement on real nodes: labels, premium first, overflow, preemption, the brake."""

from __future__ import annotations

from typing import Any

from rq import Queue
from rq.serializers import JSONSerializer
from support.labs import FlowingLab, NewLab, assert_clean, start

from afx.app import context_for
from afx.cluster.connection import connect
from afx.lab.cluster import LabCluster
from afx.local import process_tree
from afx.operations import sessions as acts
from afx.operations.context import Context
from models.storage import assignments, queue, sessions


def me(lab: LabCluster) -> Context:
    return context_for(lab.settings, "test")


def where(lab: LabCluster) -> dict[int, str]:
    return {it.session: it.worker for it in assignments.active()}


def overflow_jobs(lab: LabCluster) -> set[str]:
    client = connect(lab.redis_url, decode=False)
    overflow = Queue("overflow", connection=client, serializer=JSONSerializer)
    found = set(overflow.job_ids)
    client.close()
    return found


def test_a_session_goes_where_the_labels_are_that_it_requires(new_lab: NewLab) -> None:
    lab = new_lab()
    lab.processes.start_coordinator()
    lab.processes.start_node("w1")
    lab.processes.start_node("w2", "--label", "region=eu")
    lab.wait_nodes(2)
    one, two = lab.add_sessions(2)
    acts.require(me(lab), one.name, {"region": "eu"})
    acts.require(me(lab), two.name, {"region": "mars"})
    lab.wait("it is in the EU", lambda: where(lab).get(one.id) == "w2", 60)
    lab.wait("the other waits", lambda: queue.count() == 1, 60)
    assert queue.listing().rows[0]["reason"] == "no ready node has region=mars"
    acts.require(me(lab), two.name, {})
    lab.wait_running(2)


def test_an_unschedulable_session_is_in_the_overflow_queue_until_it_is_placed(
    new_lab: NewLab,
) -> None:
    lab = new_lab()
    start(lab, 1, 6, "--max-sessions", "4")
    lab.wait_running(4)
    lab.wait("two wait", lambda: queue.count() == 2, 60)
    waiting = {f"overflow-{it['id']}" for it in queue.listing().rows}
    lab.wait("their jobs are there", lambda: overflow_jobs(lab) == waiting, 60)
    lab.processes.start_node("w2")
    lab.wait_running(6)
    lab.wait("no job is left", lambda: not overflow_jobs(lab), 60)


def test_a_premium_session_preempts_a_free_one_that_then_waits(flowing_lab: FlowingLab) -> None:
    lab = flowing_lab(2, 8, "--max-sessions", "4", posts=0)
    [gold] = lab.add_sessions(1, tier="premium")
    lab.wait(
        "the premium one runs",
        lambda: (gold.id, "running") in {(it.session, it.state) for it in assignments.active()},
        60,
    )
    lab.wait("one free one waits", lambda: queue.count() == 1, 60)
    assert len(assignments.active()) == 8
    lab.post(160, 200, [it for it in lab.sessions if it.id in where(lab)])
    # No other session is displaced for it, and the waiting one is placed when there is room.
    lab.processes.start_node("w3")
    lab.wait_running(9)
    verdict = lab.wait_delivered(30)
    assert_clean(verdict)


def test_the_loss_brake_stops_placement_and_releases_it_later(
    flowing_lab: FlowingLab,
) -> None:
    lab = flowing_lab(3, 12, rate=60, variables={"AFX_BRAKE_HOLD_SECONDS": "3"})
    lab.wait("all have sent heartbeats", lambda: all(it.seq > 3 for it in lab.nodes()), 60)
    lab.events()
    doomed = sorted(it.name for it in lab.nodes())[:2]
    # Both are suspended first, so that they die in the same instant.
    process_tree.suspend([it for name in doomed for it in lab.process_tree(name)[:1]])
    for name in doomed:
        lab.processes.kill_tree(name)
    brakes: list[dict[str, Any]] = []

    def braked() -> bool:
        brakes.extend(it for it in lab.events() if it["kind"] == "brake")
        return bool(brakes)

    lab.wait("placement is held", braked, 60)
    assert (brakes[0]["lost"], brakes[0]["live"]) == (2, 1)
    verdict = lab.wait_delivered(60)
    assert_clean(verdict)
    assert len(where(lab)) == 12


def test_uneven_nodes_are_rebalanced_without_a_message_lost(new_lab: NewLab) -> None:
    lab = new_lab(
        {
            "AFX_REBALANCE_SECONDS": "1",
            "AFX_PREEMPTION_REST_MINUTES": "0.01",
            "AFX_RAM_LIMIT_MIB": "400",
            "AFX_RAM_HEADROOM_MIB": "8",
            "AFX_RAM_HEADROOM_SHARE": "0.01",
        }
    )
    lab.add_sessions(60)
    lab.processes.start_coordinator()
    lab.processes.start_node("w1")
    lab.wait_running()
    lab.expect_copies()
    lab.post(600, 60)
    lab.processes.start_node("w2")
    lab.wait_nodes(2)
    verdict = lab.wait_delivered(40)
    assert_clean(verdict)
    assert sessions.count() == len(where(lab)) == 60


def test_sessions_that_cannot_start_end_up_in_quarantine_with_a_reason(
    flowing_lab: FlowingLab,
) -> None:
    lab = flowing_lab(1, 1, posts=0)
    session = sessions.find(lab.sessions[0].name)
    lab.sandbox.call("fault", code=400, message="CONNECTION_DEVICE_MODEL_EMPTY", count=0)
    context = context_for(lab.settings, "test")
    acts.pause(context, session.name)
    lab.wait("it has stopped", lambda: lab.running() == 0, 60)
    acts.resume(context, session.name)
    lab.wait(
        "it is in trouble",
        lambda: "CONNECTION_DEVICE_MODEL_EMPTY" in str(sessions.describe(session)["trouble"]),
        60,
    )
    lab.wait("again", lambda: "times in a row" in sessions.describe(session)["trouble"], 60)
