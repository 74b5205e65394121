"""Placement on real nodes: labels, premium first, overflow, preemption, the brake."""

from __future__ import annotations

import os
import signal
from typing import Any

from rq import Queue
from rq.serializers import JSONSerializer
from support.labs import NewLab, clean, start

from afx.app import context_for
from afx.cluster.connection import connect
from afx.lab.cluster import Lab
from afx.operations import sessions as acts
from afx.operations.context import Context
from models.storage import assignments, queue, sessions


def me(lab: Lab) -> Context:
    return context_for(lab.settings, "test")


def where(lab: Lab) -> dict[int, str]:
    return {it.session: it.worker for it in assignments.active()}


def overflow_jobs(lab: Lab) -> set[str]:
    client = connect(lab.redis_url, decode=False)
    held = Queue("overflow", connection=client, serializer=JSONSerializer)
    found = set(held.job_ids)
    client.close()
    return found


def test_a_session_goes_where_the_labels_are_that_it_requires(new_lab: NewLab) -> None:
    lab = new_lab()
    lab.fleet.start_coordinator()
    lab.fleet.start_worker("w1")
    lab.fleet.start_worker("w2", "--label", "region=eu")
    lab.wait_nodes(2)
    one, two = lab.add_sessions(2)
    acts.require(me(lab), one.name, {"region": "eu"})
    acts.require(me(lab), two.name, {"region": "mars"})
    lab.wait("it is in the EU", lambda: where(lab).get(one.id) == "w2", 20)
    lab.wait("the other waits", lambda: queue.count() == 1, 20)
    assert queue.listing().rows[0]["reason"] == "no ready node has region=mars"
    acts.require(me(lab), two.name, {})
    lab.wait_running(2)


def test_what_waits_is_in_the_overflow_queue_and_leaves_it_with_its_place(
    new_lab: NewLab,
) -> None:
    lab = new_lab()
    start(lab, 1, 6, "--max-sessions", "4")
    lab.wait_running(4)
    lab.wait("two wait", lambda: queue.count() == 2, 10)
    waiting = {f"overflow-{it['id']}" for it in queue.listing().rows}
    lab.wait("their jobs are there", lambda: overflow_jobs(lab) == waiting, 10)
    lab.fleet.start_worker("w2")
    lab.wait_running(6)
    lab.wait("no job is left", lambda: not overflow_jobs(lab), 10)


def test_a_premium_session_displaces_a_free_one_that_then_waits(new_lab: NewLab) -> None:
    lab = new_lab()
    start(lab, 2, 8, "--max-sessions", "4")
    lab.wait_running(8)
    lab.expect_copies()
    [gold] = lab.add_sessions(1, tier="premium")
    lab.wait(
        "the premium one runs",
        lambda: (gold.id, "running") in {(it.session, it.state) for it in assignments.active()},
        20,
    )
    lab.wait("one free one waits", lambda: queue.count() == 1, 20)
    assert len(assignments.active()) == 8
    lab.post(160, 200, [it for it in lab.sessions if it.id in where(lab)])
    # Nobody else is displaced for it, and who waits comes back with room.
    lab.fleet.start_worker("w3")
    lab.wait_running(9)
    verdict = lab.wait_delivered(30)
    assert clean(verdict), verdict


def test_when_most_nodes_are_lost_at_once_placement_holds_and_then_goes_on(
    new_lab: NewLab,
) -> None:
    lab = new_lab({"AFX_BRAKE_HOLD_SECONDS": "3"})
    start(lab, 3, 12)
    lab.wait_running()
    lab.expect_copies()
    lab.post(600, 60)
    lab.wait("all have beaten", lambda: all(it.seq > 3 for it in lab.nodes()), 15)
    lab.events()
    doomed = sorted(it.name for it in lab.nodes())[:2]
    for name in doomed:
        pid = lab.fleet.children[name].pid
        os.kill(pid, signal.SIGSTOP)  # so that both die in the same instant
    for name in doomed:
        lab.fleet.kill_tree(name)
    told: list[dict[str, Any]] = []

    def braked() -> bool:
        told.extend(it for it in lab.events() if it["kind"] == "brake")
        return bool(told)

    lab.wait("it brakes", braked, 15)
    assert (told[0]["lost"], told[0]["live"]) == (2, 1)
    verdict = lab.wait_delivered(60)
    assert clean(verdict), verdict
    assert len(where(lab)) == 12


def test_uneven_nodes_are_evened_out_without_a_message_lost(new_lab: NewLab) -> None:
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
    lab.fleet.start_coordinator()
    lab.fleet.start_worker("w1")
    lab.wait_running()
    lab.expect_copies()
    lab.post(600, 60)
    lab.fleet.start_worker("w2")
    lab.wait_nodes(2)
    verdict = lab.wait_delivered(40)
    assert clean(verdict), verdict
    assert sessions.count() == len(where(lab)) == 60


def test_sessions_that_cannot_start_end_up_in_quarantine_with_a_reason(new_lab: NewLab) -> None:
    from models.storage import rules

    lab = new_lab()
    start(lab, 1, 1)
    lab.wait_running()
    held = sessions.find(lab.sessions[0].name)
    rules.create(held, ["@nobody_knows_it"], ["-1001"])
    lab.wait(
        "it is in trouble",
        lambda: "is not known to this account" in str(sessions.describe(held)["trouble"]),
        20,
    )
    lab.wait("again", lambda: "times in a row" in sessions.describe(held)["trouble"], 20)
