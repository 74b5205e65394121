"""Operators' controls on real nodes, with messages flowing all the while."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from support.cli_runs import complains, runner
from support.labs import FlowingLab, NewLab, assert_clean

from afx.app import context_for
from afx.cluster import keys
from afx.lab.cluster import LabCluster
from afx.operations import sessions as acts
from afx.operations import workers as node_acts
from afx.operations.context import Context
from models.storage import assignments, controls, sessions, workers

ControlledLab = Callable[..., LabCluster]


def me(lab: LabCluster) -> Context:
    return context_for(lab.settings, "test")


def wait_known(lab: LabCluster, nodes: int) -> None:
    """Wait until SQL knows so many nodes."""
    lab.wait("SQL knows the nodes", lambda: len(workers.listing().rows) == nodes, 60)


def done(lab: LabCluster, control_id: int | None, seconds: float = 20) -> dict[str, Any]:
    """Wait for the end of a control; returns it."""
    assert control_id is not None
    lab.wait(
        f"control {control_id} ends",
        lambda: controls.get(control_id)["state"] in ("done", "failed", "cancelled"),
        seconds,
    )
    return controls.get(control_id)


def note(control_id: int) -> str:
    return str(controls.get(control_id)["note"])


def on(node: str) -> int:
    """Return how many sessions a node has."""
    return sum(it.worker == node for it in assignments.active())


@pytest.fixture
def controlled_lab(flowing_lab: FlowingLab) -> ControlledLab:
    """Returns a flowing lab whose nodes SQL knows, so that operators can name them."""

    def make(nodes: int, sessions: int, *flags: str, **options: Any) -> LabCluster:
        lab = flowing_lab(nodes, sessions, *flags, **options)
        wait_known(lab, nodes)
        return lab

    return make


def test_a_drained_node_is_empty_and_no_message_is_lost(controlled_lab: ControlledLab) -> None:
    lab = controlled_lab(3, 24)
    node = lab.busiest_node()
    control = done(lab, node_acts.drain(me(lab), [node])[0].control)
    assert (control["state"], on(node)) == ("done", 0)
    assert control["sent_at"] <= control["acknowledged_at"] <= control["finished_at"]
    assert workers.find(node).desired_state == "cordoned"
    lab.wait_running()
    verdict = lab.wait_delivered(30)
    assert_clean(verdict)
    assert on(node) == 0
    assert done(lab, node_acts.uncordon(me(lab), [node])[0].control)["state"] == "done"
    lab.wait("it is ready", lambda: node in lab.redis.zrange("afx:workers:load", 0, -1), 60)


def test_a_drain_without_room_waits_for_room_or_for_an_uncordon(
    controlled_lab: ControlledLab,
) -> None:
    lab = controlled_lab(2, 8, "--max-sessions", "5")
    full = lab.busiest_node()

    def drain_until_only_three_are_left() -> int:
        control_id = node_acts.drain(me(lab), [full])[0].control
        assert control_id is not None
        lab.wait("one has moved", lambda: on(full) == 3, 60)
        return control_id

    overruled = drain_until_only_three_are_left()
    lab.wait("it says why", lambda: "3 fit on no other node" in note(overruled), 60)
    assert done(lab, node_acts.uncordon(me(lab), [full])[0].control)["state"] == "done"
    assert done(lab, overruled)["state"] == "cancelled"
    waiting = drain_until_only_three_are_left()
    assert lab.running() >= 7
    lab.processes.start_node("w3", "--max-sessions", "5")
    assert done(lab, waiting)["state"] == "done"
    verdict = lab.wait_delivered(30)
    assert_clean(verdict)


def test_a_cordoned_node_gets_nothing_even_after_its_restart(controlled_lab: ControlledLab) -> None:
    lab = controlled_lab(2, 4, posts=10)
    assert done(lab, node_acts.cordon(me(lab), ["w1"])[0].control)["state"] == "done"
    before = on("w1")
    more = lab.add_sessions(4)
    lab.wait_running()
    assert on("w1") == before
    lab.processes.kill_tree("w1")
    lab.wait("its sessions are elsewhere", lambda: on("w1") == 0 and lab.running() == 8, 60)
    lab.processes.start_node("w1")
    lab.wait(
        "w1 is back, cordoned",
        lambda: [it.state for it in lab.nodes() if it.name == "w1"] == ["cordoned"],
        60,
    )
    session = sessions.find(more[0].name)
    done(lab, acts.pause(me(lab), session.name).control)
    done(lab, acts.resume(me(lab), session.name).control)
    assert on("w1") == 0


def test_a_node_ends_when_it_is_stopped_and_is_removed_only_then(
    controlled_lab: ControlledLab,
) -> None:
    lab = controlled_lab(2, 12)
    node = lab.busiest_node()
    control = done(lab, node_acts.remove(me(lab), [node])[0].control)
    assert control["state"] == "failed" and "stop it first" in control["note"]
    assert on(node) > 0
    assert done(lab, node_acts.stop(me(lab), [node])[0].control)["state"] == "done"
    assert lab.processes.wait_for_end(node) == 0
    verdict = lab.wait_delivered(30)
    assert_clean(verdict)
    assert done(lab, node_acts.remove(me(lab), [node])[0].control)["state"] == "done"
    assert [it["name"] for it in workers.listing().rows] == [it.name for it in lab.nodes()]


def test_a_session_is_moved_to_the_node_that_was_named(controlled_lab: ControlledLab) -> None:
    lab = controlled_lab(2, 6)
    row = assignments.active()[0]
    name = next(it.name for it in lab.sessions if it.id == row.session)
    other = "w2" if row.worker == "w1" else "w1"
    control = done(lab, acts.move(me(lab), name, other).control)
    assert (control["state"], control["note"]) == ("done", f"running on {other}")
    assert acts.move(me(lab), name, other).control is None
    control = done(lab, acts.move(me(lab), name).control)
    assert (control["state"], control["worker"]) == ("done", row.worker)
    verdict = lab.wait_delivered(30)
    assert_clean(verdict)


def test_an_impossible_move_fails_with_a_reason_and_the_session_runs_on(
    controlled_lab: ControlledLab,
) -> None:
    lab = controlled_lab(2, 4, "--max-sessions", "2", posts=40)
    row = next(it for it in assignments.active() if it.worker == "w1")
    name = next(it.name for it in lab.sessions if it.id == row.session)

    def assert_refused(reason: str) -> None:
        control = done(lab, acts.move(me(lab), name, "w2").control)
        assert control["state"] == "failed" and reason in control["note"]

    assert_refused("no room")
    done(lab, node_acts.cordon(me(lab), ["w2"])[0].control)
    assert_refused("not ready")
    assert on("w1") == 2
    done(lab, acts.pause(me(lab), name).control)
    assert_refused("paused")
    done(lab, acts.resume(me(lab), name).control)
    verdict = lab.wait_delivered(30)
    assert_clean(verdict)


def test_a_removed_session_stops_before_it_is_gone(controlled_lab: ControlledLab) -> None:
    lab = controlled_lab(1, 2, posts=4)
    lab.wait_delivered(10)
    gone, other = lab.sessions
    requested = acts.remove(me(lab), gone.name)
    assert done(lab, requested.control)["note"] == "session is removed"
    assert [it["name"] for it in sessions.listing().rows] == [other.name]
    status = lab.sandbox.call("status", accounts=[gone.account])
    assert not status[str(gone.account)]["connected"]
    stored = [keys.spec(gone.id), keys.cursor(gone.id), keys.assignment(gone.id)]
    lab.wait("Redis has no key of it", lambda: not lab.redis.exists(*stored), 60)
    lab.sessions.remove(gone)


def test_a_drain_continues_under_a_new_leader(controlled_lab: ControlledLab) -> None:
    lab = controlled_lab(3, 60, posts=900)
    node = lab.busiest_node()
    control_id = node_acts.drain(me(lab), [node])[0].control
    assert control_id is not None
    lab.wait("it is under way", lambda: controls.get(control_id)["state"] != "requested", 60)
    lab.processes.kill_tree("coordinator")
    lab.processes.start_coordinator("coordinator-2")
    assert done(lab, control_id, 40)["state"] == "done"
    assert on(node) == 0
    verdict = lab.wait_delivered(40)
    assert_clean(verdict)
    lab.wait(
        "no room is reserved any more",
        lambda: [it.assigned for it in lab.nodes()] == [on(it.name) for it in lab.nodes()],
        60,
    )


def test_the_command_line_waits_for_the_nodes(controlled_lab: ControlledLab) -> None:
    lab = controlled_lab(2, 4, posts=1)
    afx = runner(lab.settings.home)
    drained = afx("worker", "drain", "w1", "--json")
    assert drained.returncode == 0, drained.stderr
    assert '"state": "done"' in drained.stdout
    assert on("w1") == 0
    assert afx("status").returncode == 0
    lab.wait("its node says so", lambda: "cordoned" in afx("status").stdout, 60)
    assert afx("worker", "cordon", "w1").stdout == "cordon w1: done (is already cordoned)\n"
    top = afx("top", "--once", "--json")
    assert '"nodes": [{' in top.stdout
    lab.wait("the head is noted", lambda: bool(lab.redis.get("afx:audit:head")), 60)
    assert afx("audit", "verify").returncode == 0


def test_a_rolling_restart_of_all_nodes_loses_no_message(controlled_lab: ControlledLab) -> None:
    lab = controlled_lab(3, 18, posts=1500)
    before = {it.name: it.incarnation for it in lab.nodes()}
    recycled = runner(lab.settings.home)("worker", "recycle", "--all")
    assert recycled.returncode == 0, recycled.stdout + recycled.stderr
    after = {it.name: it.incarnation for it in lab.nodes()}
    assert set(after) == set(before)
    assert not set(after.values()) & set(before.values())
    assert {it.state for it in lab.nodes()} == {"ready"}
    verdict = lab.wait_delivered(40)
    assert_clean(verdict)


def test_a_coordinator_is_replaced_by_its_standby_without_a_message_lost(
    controlled_lab: ControlledLab,
) -> None:
    lab = controlled_lab(2, 12, posts=900)
    lab.processes.start_coordinator("coordinator-2")
    lab.wait("it stands by", lambda: logged(lab, "standing_by") == 1, 60)
    lab.processes.terminate("coordinator")
    assert lab.processes.wait_for_end("coordinator") == 0
    moved = acts.move(me(lab), lab.sessions[0].name).control
    assert done(lab, moved)["state"] == "done"
    verdict = lab.wait_delivered(40)
    assert_clean(verdict)


def test_nodes_are_drained_by_label(new_lab: NewLab) -> None:
    lab = new_lab()
    lab.add_sessions(6)
    lab.processes.start_coordinator()
    lab.processes.start_node("w1", "--label", "rack=a", "--label", "kind=big")
    lab.processes.start_node("w2", "--label", "rack=b")
    lab.wait_nodes(2)
    lab.wait_running()
    wait_known(lab, 2)
    afx = runner(lab.settings.home)
    assert afx("worker", "drain", "-l", "rack=a").returncode == 0
    assert (on("w1"), on("w2")) == (0, 6)
    assert '"name": "w1"' in afx("worker", "list", "-l", "kind=big", "--json").stdout
    complains(afx("worker", "drain"), 2, "--label")
    complains(afx("worker", "drain", "-l", "rack"), 2, "KEY=VALUE")
    for command in ("drain", "recycle"):
        complains(afx("worker", command, "-l", "rack=c"), 2, "no such live node")


def test_a_rebalance_is_planned_and_applied_by_hand(new_lab: NewLab) -> None:
    lab = new_lab(
        {
            "AFX_REBALANCE_SECONDS": "0",
            "AFX_RAM_LIMIT_MIB": "300",
            "AFX_RAM_HEADROOM_MIB": "1",
            "AFX_RAM_HEADROOM_SHARE": "0.01",
        }
    )
    lab.add_sessions(60)
    lab.processes.start_coordinator()
    lab.processes.start_node("w1")
    lab.wait_running()
    lab.processes.start_node("w2")
    lab.wait_nodes(2)
    afx = runner(lab.settings.home)
    planned = json.loads(afx("rebalance", "plan", "--json").stdout)
    assert planned["imbalance"] >= 1.0
    applied = json.loads(afx("rebalance", "apply", "--json").stdout)
    assert [it["id"] for it in applied["moves"]] == [it["id"] for it in planned["moves"]]


def test_all_coordinators_restart_under_their_pids_without_a_message_lost(
    controlled_lab: ControlledLab,
) -> None:
    lab = controlled_lab(2, 12, posts=1200)
    lab.processes.start_coordinator("coordinator-2")
    lab.wait("it stands by", lambda: logged(lab, "standing_by") == 1, 60)
    pids = {name: child.pid for name, child in lab.processes.children.items()}
    afx = runner(lab.settings.home)
    recycled = afx("coordinator", "recycle")
    assert recycled.returncode == 0, recycled.stderr
    assert "restarted" in recycled.stdout
    lab.wait("both have restarted", lambda: logged(lab, "coordinator_restarting") == 2, 60)
    assert {name: child.pid for name, child in lab.processes.children.items()} == pids
    assert all(child.exit_code() is None for child in lab.processes.children.values())
    status = json.loads(afx("coordinator", "status", "--json").stdout)
    assert status["leader"] and status["term"] == status["term_in_sql"] >= 2
    verdict = lab.wait_delivered(40)
    assert_clean(verdict)
    lab.processes.stop()
    refused = afx("coordinator", "recycle", "--timeout", "0.2")
    assert refused.returncode == 3 and "No coordinator leads" in refused.stderr
    complains(afx("coordinator", "recycle"), 2, "under way already")


def logged(lab: LabCluster, event: str) -> int:
    return lab.log.read_text(errors="replace").count(event)


def test_a_recycled_node_keeps_its_pid_and_its_generated_name(
    controlled_lab: ControlledLab,
) -> None:
    lab = controlled_lab(1, 2, posts=4)
    before = {it.name for it in lab.nodes()}
    lab.processes.start_unnamed_node()
    wait_known(lab, 2)
    [first] = [it for it in lab.nodes() if it.name not in before]
    assert done(lab, node_acts.recycle(me(lab), first.name).control)["state"] == "done"
    [second] = [it for it in lab.nodes() if it.name not in before]
    assert second.name == first.name and second.incarnation != first.incarnation
    # The supervisor is the first process of both: it was replaced under its pid.
    assert second.processes.split(":")[0] == first.processes.split(":")[0]
    verdict = lab.wait_delivered(20)
    assert_clean(verdict)
