"""Operators' controls on real nodes, with messages flowing all the while."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from support.labs import NewLab, clean, start

from afx.cluster import keys
from afx.lab.cluster import Lab
from afx.operations import sessions as acts
from afx.operations import workers as node_acts
from afx.operations.change import Operator
from models.storage import assignments, controls, sessions, workers

ME = Operator("test", b"key")


def done(lab: Lab, number: int | None, seconds: float = 20) -> dict[str, Any]:
    """Wait for the end of a control; returns it."""
    assert number is not None
    lab.wait(
        f"control {number} ends",
        lambda: controls.get(number)["state"] in ("done", "failed", "cancelled"),
        seconds,
    )
    return controls.get(number)


def on(node: str) -> int:
    return sum(it.worker == node for it in assignments.active())


def flowing(new_lab: NewLab, nodes: int, count: int, *flags: str, posts: int = 600) -> Lab:
    lab = new_lab()
    start(lab, nodes, count, *flags)
    lab.wait_running()
    lab.expect_copies()
    lab.post(posts, 150)
    lab.wait("nodes are noted", lambda: len(workers.listing().rows) == nodes, 10)
    return lab


def test_a_drained_node_is_empty_and_no_message_is_lost(new_lab: NewLab) -> None:
    lab = flowing(new_lab, 3, 24)
    node = lab.busiest_node()
    control = done(lab, node_acts.want(ME, "drain", node).control)
    assert (control["state"], on(node)) == ("done", 0)
    assert control["sent_at"] <= control["acknowledged_at"] <= control["finished_at"]
    assert workers.find(node).desired_state == "cordoned"
    lab.wait_running()
    verdict = lab.wait_delivered(30)
    assert clean(verdict), verdict
    assert on(node) == 0
    assert done(lab, node_acts.want(ME, "uncordon", node).control)["state"] == "done"
    lab.wait("it is ready", lambda: node in lab.redis.zrange("afx:workers:load", 0, -1), 10)


def test_what_fits_nowhere_else_stays_until_there_is_room(new_lab: NewLab) -> None:
    lab = flowing(new_lab, 2, 8, "--max-sessions", "5")
    full = lab.busiest_node()
    number = node_acts.want(ME, "drain", full).control
    assert number is not None
    lab.wait("one has moved", lambda: on(full) == 3, 10)
    lab.wait("it says why", lambda: "3 fit on no other node" in controls.get(number)["note"], 10)
    assert lab.running() >= 7
    lab.fleet.start_worker("w3", "--max-sessions", "5")
    assert done(lab, number)["state"] == "done"
    verdict = lab.wait_delivered(30)
    assert clean(verdict), verdict


def test_a_drain_that_is_overruled_ends(new_lab: NewLab) -> None:
    lab = flowing(new_lab, 2, 8, "--max-sessions", "5", posts=200)
    full = lab.busiest_node()
    number = node_acts.want(ME, "drain", full).control
    lab.wait("one has moved", lambda: on(full) == 3, 10)
    assert done(lab, node_acts.want(ME, "uncordon", full).control)["state"] == "done"
    assert done(lab, number)["state"] == "cancelled"
    verdict = lab.wait_delivered(30)
    assert clean(verdict), verdict


def test_a_cordoned_node_gets_nothing_even_after_its_restart(new_lab: NewLab) -> None:
    lab = flowing(new_lab, 2, 4, posts=10)
    assert done(lab, node_acts.want(ME, "cordon", "w1").control)["state"] == "done"
    before = on("w1")
    more = lab.add_sessions(4)
    lab.wait_running()
    assert on("w1") == before
    lab.fleet.kill_tree("w1")
    lab.wait("its sessions are elsewhere", lambda: on("w1") == 0 and lab.running() == 8, 20)
    lab.fleet.start_worker("w1")
    lab.wait(
        "w1 is back, cordoned",
        lambda: [it.state for it in lab.nodes() if it.name == "w1"] == ["cordoned"],
        20,
    )
    session = sessions.find(more[0].name)
    done(lab, acts.want(ME, session.name, "paused").control)
    done(lab, acts.want(ME, session.name, "running").control)
    assert on("w1") == 0


def test_a_stopped_node_ends_and_its_sessions_go_on(new_lab: NewLab) -> None:
    lab = flowing(new_lab, 2, 12)
    node = lab.busiest_node()
    control = done(lab, node_acts.end(ME, "stop", node).control)
    assert control["state"] == "done"
    child = lab.fleet.children.pop(node)
    assert child.wait(20) == 0
    verdict = lab.wait_delivered(30)
    assert clean(verdict), verdict
    assert done(lab, node_acts.end(ME, "remove", node).control)["state"] == "done"
    assert [it["name"] for it in workers.listing().rows] == [it.name for it in lab.nodes()]


def test_a_node_that_lives_is_not_removed(new_lab: NewLab) -> None:
    lab = flowing(new_lab, 1, 1, posts=1)
    control = done(lab, node_acts.end(ME, "remove", "w1").control)
    assert (control["state"], control["note"]) == ("failed", "it lives; stop it first")
    assert on("w1") == 1


def test_a_session_is_moved_to_the_node_that_was_named(new_lab: NewLab) -> None:
    lab = flowing(new_lab, 2, 6)
    held = assignments.active()[0]
    name = next(it.name for it in lab.sessions if it.id == held.session)
    other = "w2" if held.worker == "w1" else "w1"
    control = done(lab, acts.move(ME, name, other).control)
    assert (control["state"], control["note"]) == ("done", f"it runs on {other}")
    assert acts.move(ME, name, other).control is None
    control = done(lab, acts.move(ME, name, "").control)
    assert (control["state"], control["worker"]) == ("done", held.worker)
    verdict = lab.wait_delivered(30)
    assert clean(verdict), verdict


@pytest.mark.parametrize("why", ["full", "cordoned", "paused"])
def test_a_move_that_cannot_be_fails_and_the_session_goes_on(new_lab: NewLab, why: str) -> None:
    lab = flowing(new_lab, 2, 4, "--max-sessions", "2", posts=40)
    held = next(it for it in assignments.active() if it.worker == "w1")
    name = next(it.name for it in lab.sessions if it.id == held.session)
    if why == "cordoned":
        done(lab, node_acts.want(ME, "cordon", "w2").control)
    if why == "paused":
        done(lab, acts.want(ME, name, "paused").control)
    control = done(lab, acts.move(ME, name, "w2").control)
    told = {"full": "no room", "cordoned": "not ready", "paused": "paused"}[why]
    assert control["state"] == "failed" and told in control["note"]
    if why != "paused":
        verdict = lab.wait_delivered(30)
        assert clean(verdict), verdict
        assert on("w1") == 2


def test_a_removed_session_stops_before_it_is_gone(new_lab: NewLab) -> None:
    lab = flowing(new_lab, 1, 2, posts=4)
    lab.wait_delivered(10)
    gone, kept = lab.sessions
    requested = acts.remove(ME, gone.name)
    assert done(lab, requested.control)["note"] == "it is removed"
    assert [it["name"] for it in sessions.listing().rows] == [kept.name]
    status = lab.sandbox.call("status", accounts=[gone.account])
    assert not status[str(gone.account)]["connected"]
    held = [keys.spec(gone.id), keys.cursor(gone.id), keys.assignment(gone.id)]
    lab.wait("Redis has forgotten it", lambda: not lab.redis.exists(*held), 10)
    lab.sessions.remove(gone)


def test_a_drain_goes_on_under_a_new_leader(new_lab: NewLab) -> None:
    lab = flowing(new_lab, 3, 60, posts=900)
    node = lab.busiest_node()
    number = node_acts.want(ME, "drain", node).control
    assert number is not None
    lab.wait("it has begun", lambda: controls.get(number)["state"] != "requested", 10)
    lab.fleet.kill_tree("coordinator")
    lab.fleet.start_coordinator("coordinator-2")
    assert done(lab, number, 40)["state"] == "done"
    assert on(node) == 0
    verdict = lab.wait_delivered(40)
    assert clean(verdict), verdict
    lab.wait(
        "no room is kept for nobody",
        lambda: [it.assigned for it in lab.nodes()] == [on(it.name) for it in lab.nodes()],
        10,
    )


def test_a_backup_is_restored_only_into_a_cluster_at_rest(new_lab: NewLab) -> None:
    from afx.errors import UsageError
    from afx.operations import backups

    lab = flowing(new_lab, 1, 2, posts=1)
    path = lab.settings.home / "b.gz"
    held = backups.make(ME, path, lambda *_: None, overwrite=False)
    assert held.tables["sessions"] == 2
    with pytest.raises(UsageError, match="The cluster runs"):
        with backups.quiet_cluster(lab.settings, force=True):
            pytest.fail("it let a restore begin")


def test_the_command_line_waits_for_the_nodes(new_lab: NewLab) -> None:
    from support.cli_runs import runner

    lab = flowing(new_lab, 2, 4, posts=1)
    afx = runner(lab.settings.home)
    begun = time.monotonic()
    said = afx("worker", "drain", "w1", "--json")
    assert said.returncode == 0, said.stderr
    assert '"state": "done"' in said.stdout and time.monotonic() - begun < 20
    assert on("w1") == 0
    assert afx("status").returncode == 0
    assert "cordoned" in afx("status").stdout
    assert afx("worker", "cordon", "w1").stdout == "cordon w1: done (is cordoned already)\n"
    top = afx("top", "--once", "--json")
    assert '"nodes": [{' in top.stdout
    lab.wait("the head is noted", lambda: bool(lab.redis.get("afx:audit:head")), 10)
    assert afx("audit", "verify").returncode == 0


def test_a_rolling_restart_of_all_nodes_loses_no_message(new_lab: NewLab) -> None:
    from support.cli_runs import runner

    lab = flowing(new_lab, 3, 18, posts=1500)
    before = {it.name: it.incarnation for it in lab.nodes()}
    said = runner(lab.settings.home)("worker", "recycle", "--all")
    assert said.returncode == 0, said.stdout + said.stderr
    after = {it.name: it.incarnation for it in lab.nodes()}
    assert set(after) == set(before)
    assert not set(after.values()) & set(before.values())
    assert {it.state for it in lab.nodes()} == {"ready"}
    verdict = lab.wait_delivered(40)
    assert clean(verdict), verdict


def test_a_coordinator_is_replaced_by_its_standby_without_a_message_lost(new_lab: NewLab) -> None:
    lab = flowing(new_lab, 2, 12, posts=900)
    lab.fleet.start_coordinator("coordinator-2")
    time.sleep(0.5)
    first = lab.fleet.children.pop("coordinator")
    first.terminate()
    assert first.wait(20) == 0
    moved = acts.move(ME, lab.sessions[0].name, "").control
    assert done(lab, moved)["state"] == "done"
    verdict = lab.wait_delivered(40)
    assert clean(verdict), verdict


def test_nodes_are_drained_by_label(new_lab: NewLab) -> None:
    from support.cli_runs import complains, runner

    lab = new_lab()
    lab.add_sessions(6)
    lab.fleet.start_coordinator()
    lab.fleet.start_worker("w1", "--label", "rack=a", "--label", "kind=big")
    lab.fleet.start_worker("w2", "--label", "rack=b")
    lab.wait_nodes(2)
    lab.wait_running()
    lab.wait("nodes are noted", lambda: len(workers.listing().rows) == 2, 10)
    afx = runner(lab.settings.home)
    assert afx("worker", "drain", "-l", "rack=a").returncode == 0
    assert (on("w1"), on("w2")) == (0, 6)
    assert '"name": "w1"' in afx("worker", "list", "-l", "kind=big", "--json").stdout
    complains(afx("worker", "drain"), 2, "--label")
    complains(afx("worker", "drain", "-l", "rack"), 2, "KEY=VALUE")
    for command in ("drain", "recycle"):
        complains(afx("worker", command, "-l", "rack=c"), 2, "no such node that lives")


def test_a_rebalance_is_planned_and_applied_by_hand(new_lab: NewLab) -> None:
    import json

    from support.cli_runs import runner

    lab = new_lab(
        {
            "AFX_REBALANCE_SECONDS": "0",
            "AFX_RAM_LIMIT_MIB": "300",
            "AFX_RAM_HEADROOM_MIB": "1",
            "AFX_RAM_HEADROOM_SHARE": "0.01",
        }
    )
    lab.add_sessions(60)
    lab.fleet.start_coordinator()
    lab.fleet.start_worker("w1")
    lab.wait_running()
    lab.fleet.start_worker("w2")
    lab.wait_nodes(2)
    afx = runner(lab.settings.home)
    planned = json.loads(afx("rebalance", "plan", "--json").stdout)
    assert planned["imbalance"] >= 1.0
    applied = json.loads(afx("rebalance", "apply", "--json").stdout)
    assert [it["id"] for it in applied["moves"]] == [it["id"] for it in planned["moves"]]


def test_all_coordinators_begin_anew_under_their_pids_without_a_message_lost(
    new_lab: NewLab,
) -> None:
    from support.cli_runs import complains, runner

    lab = flowing(new_lab, 2, 12, posts=1200)
    lab.fleet.start_coordinator("coordinator-2")
    lab.wait("it stands by", lambda: logged(lab, "standing_by") == 1, 10)
    pids = {name: child.pid for name, child in lab.fleet.children.items()}
    afx = runner(lab.settings.home)
    said = afx("coordinator", "recycle")
    assert said.returncode == 0, said.stderr
    assert "has begun anew" in said.stdout
    lab.wait("both have", lambda: logged(lab, "coordinator_restarting") == 2, 10)
    assert {name: child.pid for name, child in lab.fleet.children.items()} == pids
    assert all(child.poll() is None for child in lab.fleet.children.values())
    status = json.loads(afx("coordinator", "status", "--json").stdout)
    assert status["leader"] and status["term"] == status["term_in_sql"] >= 2
    verdict = lab.wait_delivered(40)
    assert clean(verdict), verdict
    lab.fleet.stop()
    complains_of = afx("coordinator", "recycle", "--timeout", "0.2")
    assert complains_of.returncode == 3 and "No coordinator leads" in complains_of.stderr
    complains(afx("coordinator", "recycle"), 2, "under way already")


def logged(lab: Lab, event: str) -> int:
    return lab.log.read_text(errors="replace").count(event)


def test_a_recycled_node_keeps_its_pid_and_the_name_that_it_gave_itself(new_lab: NewLab) -> None:
    lab = flowing(new_lab, 1, 2, posts=4)
    before = {it.name for it in lab.nodes()}
    lab.fleet._start("nameless", "", "worker", "start")
    lab.wait("it lives, and is noted", lambda: len(workers.listing().rows) == 2, 20)
    [held] = [it for it in lab.nodes() if it.name not in before]
    assert done(lab, node_acts.recycle(ME, held.name).control)["state"] == "done"
    [again] = [it for it in lab.nodes() if it.name not in before]
    assert again.name == held.name and again.incarnation != held.incarnation
    # The supervisor is its first process: what it was started as, begun anew.
    assert again.processes.split(":")[0] == held.processes.split(":")[0]
    verdict = lab.wait_delivered(20)
    assert clean(verdict), verdict
