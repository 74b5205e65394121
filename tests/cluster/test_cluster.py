"""Whole clusters of real processes; the sandbox's ledger is the judge."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

import psutil
import pytest
from support.cli_runs import complains, runner
from support.labs import NewLab, clean, host_of, start

from afx.cluster import keys
from afx.lab import demo
from afx.lab.cluster import Lab
from models.base import transaction
from models.storage import assignments, queue, rules, sessions
from models.tables import SessionAssignment


def test_a_killed_node_loses_and_doubles_nothing(new_lab: NewLab) -> None:
    figures = demo.run(
        new_lab(), workers=3, sessions=24, messages=600, rate=200, kill=True, show=lambda _: None
    )
    assert clean(figures), figures
    assert figures["delivered"] == figures["expected"] >= 600
    assert figures["failover"]["sessions"] > 0


def test_every_copy_is_linked_to_its_source_across_a_kill(new_lab: NewLab) -> None:
    """Also those whose answers died with the node: edits must find them later."""
    lab = new_lab()
    figures = demo.run(
        lab, workers=2, sessions=6, messages=1200, rate=600, kill=True, show=lambda _: None
    )
    # A slow recovery has messages of its own (see demo._recovery).
    lab.wait("all links are stored", lambda: _linked(lab) == figures["expected"], 10)
    for held in lab.sessions:
        said = {it["id"]: it["text"] for it in _messages(lab, held.source)}
        copied = {it["id"]: it["text"] for it in _messages(lab, held.destination)}
        for name, copy in lab.redis.hgetall(keys.links(held.id, held.source, 1)).items():
            message, _rule, destination = str(name).split(":")
            assert int(destination) == held.destination
            assert copied[int(copy)] == said[int(message)]


def _messages(lab: Lab, chat: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = lab.sandbox.call("messages", chat=chat, most=10_000)
    return found


def _linked(lab: Lab) -> int:
    return sum(lab.redis.hlen(keys.links(it.id, it.source, 1)) for it in lab.sessions)


def test_a_cluster_on_postgres_forwards_as_well(
    new_lab: NewLab, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("_postgres")
    from models import base

    held = base.open_database(url)
    held.execute_sql("DROP SCHEMA public CASCADE")
    held.execute_sql("CREATE SCHEMA public")
    base.close_database()
    lab = new_lab(database_url=url)
    figures = demo.run(
        lab, workers=2, sessions=6, messages=60, rate=100, kill=True, show=lambda _: None
    )
    assert clean(figures), figures


def test_a_killed_host_process_is_replaced_by_its_supervisor(new_lab: NewLab) -> None:
    lab = new_lab()
    start(lab, 1, 6)
    lab.wait_running()
    lab.expect_copies()
    lab.post(300, 150)
    time.sleep(0.5)
    before = lab.nodes()[0].incarnation
    host_of(lab, "w1").kill()
    lab.wait("a new incarnation", lambda: [it.incarnation for it in lab.nodes()] != [before], 20)
    verdict = lab.wait_delivered(30)
    assert clean(verdict), verdict


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_supervisor_that_ends_or_stands_still_ends_its_host(
    new_lab: NewLab, how: signal.Signals
) -> None:
    """Nobody renews the lease any more: the host must not outlive it."""
    lab = new_lab()
    start(lab, 2, 8)
    lab.wait_running()
    lab.expect_copies()
    lab.post(900, 100)
    node = lab.busiest_node()
    host = host_of(lab, node)
    lab.events()
    os.kill(lab.fleet.children[node].pid, how)
    lab.wait_detected(node, 20)
    # Before anybody took its sessions over, and not only by then.
    assert not host.is_running() or host.status() == psutil.STATUS_ZOMBIE
    lab.wait_running(8, 20)
    if how == signal.SIGSTOP:
        os.kill(lab.fleet.children[node].pid, signal.SIGCONT)
        lab.wait("it has begun anew", lambda: len(lab.nodes()) == 2, 20)
    verdict = lab.wait_delivered(40)
    assert clean(verdict), verdict


def test_a_stopped_node_is_replaced_and_does_nothing_when_it_wakes(new_lab: NewLab) -> None:
    """SIGSTOP of a whole node, longer than its lease, then SIGCONT."""
    lab = new_lab()
    start(lab, 2, 8)
    lab.wait_running()
    lab.expect_copies()
    lab.post(900, 100)
    node = lab.busiest_node()
    supervisor = psutil.Process(lab.fleet.children[node].pid)
    tree = [supervisor, *supervisor.children(recursive=True)]
    lab.events()
    for process in tree:
        process.send_signal(signal.SIGSTOP)
    lab.wait_detected(node, 20)
    lab.wait_running(8, 20)
    for process in tree:
        process.send_signal(signal.SIGCONT)
    verdict = lab.wait_delivered(40)
    assert clean(verdict), verdict
    lab.wait("the woken node has begun anew", lambda: len(lab.nodes()) == 2, 20)


def test_a_second_coordinator_takes_over_when_the_first_is_killed(new_lab: NewLab) -> None:
    lab = new_lab()
    start(lab, 2, 8)
    lab.fleet.start_coordinator("coordinator-2")
    lab.wait_running()
    lab.expect_copies()
    lab.post(400, 40)
    lab.fleet.kill_tree("coordinator")
    node = lab.busiest_node()
    lab.wait("a new leader", lambda: int(lab.redis.get("afx:term") or 0) >= 2, 20)
    lab.kill_node(node)
    lab.wait_detected(node)
    verdict = lab.wait_delivered(40)
    assert clean(verdict), verdict


def test_sessions_that_fit_nowhere_wait_and_are_placed_when_room_appears(new_lab: NewLab) -> None:
    lab = new_lab()
    start(lab, 1, 8, "--max-sessions", "5")
    lab.wait_running(5)
    lab.wait("three sessions wait", lambda: queue.count() == 3, 10)
    assert {it["reason"] for it in queue.listing().rows} == {"all nodes are full"}
    assert lab.nodes()[0].assigned == 5
    afx = runner(lab.settings.home)
    listed = json.loads(afx("overflow", "list", "--json").stdout)
    assert len(listed) == 3 and listed[0]["reason"] == "all nodes are full"
    complains(afx("overflow", "drain", "--timeout", "0.2"), 4, "still wait")
    lab.fleet.start_worker("w2", "--max-sessions", "5")
    said = afx("overflow", "drain", "--timeout", "30")
    assert (said.returncode, said.stdout) == (0, "The overflow queue is empty.\n")
    lab.wait_running(8)
    assert "The overflow queue is empty" in afx("overflow", "list").stderr


def test_a_paused_session_stops_and_misses_nothing_when_resumed(new_lab: NewLab) -> None:
    lab = new_lab()
    start(lab, 1, 2)
    lab.wait_running()
    lab.expect_copies()
    session = sessions.find(lab.sessions[0].name)
    sessions.set_desired_state(session, "paused")
    lab.wait("it has stopped", lambda: len(assignments.active()) == 1, 10)
    lab.post(40, 200)
    lab.wait("the other has copied", lambda: lab.sandbox.call("judge")["delivered"] == 20, 10)
    sessions.set_desired_state(session, "running")
    verdict = lab.wait_delivered(20)
    assert clean(verdict), verdict


def test_a_rule_that_is_added_takes_effect_and_costs_no_message(new_lab: NewLab) -> None:
    lab = new_lab()
    start(lab, 1, 2)
    lab.wait_running()
    lab.expect_copies()
    lab.post(200, 100)
    held = lab.sessions[0]
    [more] = lab.sandbox.call("channels", channels=[{"title": "more", "posters": [held.account]}])
    rules.create(sessions.find(held.name), [str(held.source)], [str(more["id"])], "copy")
    lab.wait("the new rule copies", lambda: lab.sandbox.call("messages", chat=more["id"]), 20)
    verdict = lab.wait_delivered(20)
    assert clean(verdict), verdict


def test_a_node_that_is_told_to_stop_hands_its_sessions_over(new_lab: NewLab) -> None:
    lab = new_lab()
    start(lab, 2, 8)
    lab.wait_running()
    lab.expect_copies()
    lab.post(300, 100)
    time.sleep(0.5)
    node = lab.busiest_node()
    child = lab.fleet.children.pop(node)
    child.terminate()
    assert child.wait(20) == 0
    verdict = lab.wait_delivered(30)
    assert clean(verdict), verdict


def test_a_redis_that_is_gone_for_a_while_costs_no_message(new_lab: NewLab) -> None:
    """Longer than the lease: all nodes stop by themselves, and come back."""
    lab = new_lab()
    start(lab, 2, 6)
    lab.wait_running()
    lab.expect_copies()
    lab.post(800, 50)
    server = int(lab.redis.info("server")["process_id"])
    os.kill(server, signal.SIGSTOP)
    time.sleep(6)
    os.kill(server, signal.SIGCONT)
    verdict = lab.wait_delivered(60)
    assert clean(verdict), verdict


def test_a_revoked_login_is_reported_and_left_alone(new_lab: NewLab) -> None:
    lab = new_lab()
    start(lab, 1, 2)
    lab.wait_running()
    import asyncio

    from telethon import TelegramClient, errors
    from telethon.sessions import StringSession

    held = next(it for it in lab.sessions)
    sealed = sessions.find(held.name).login

    async def intrude() -> None:
        client = TelegramClient(StringSession(lab.vault.open(sealed)), 1, "x", auto_reconnect=False)
        try:
            await client.connect()
            await client.get_me()
        except (errors.RPCError, OSError):
            pass
        finally:
            await client.disconnect()

    asyncio.run(intrude())
    lab.sandbox.call("post", chat=held.source, text="makes the session speak")

    def told() -> bool:
        return any("no longer accepts the login" in it["trouble"] for it in sessions.listing().rows)

    lab.wait("the loss is told", told, 20)
    assert {it["desired_state"] for it in sessions.listing().rows} == {"paused", "running"}
    with transaction():
        assert SessionAssignment.select().where(SessionAssignment.state != "ended").count() == 1


@pytest.mark.faults
@pytest.mark.parametrize("seconds", [5, 30])
def test_a_node_stopped_for_long_revokes_nothing(new_lab: NewLab, seconds: int) -> None:
    lab = new_lab()
    start(lab, 3, 30)
    lab.wait_running()
    lab.expect_copies()
    lab.post(100 * (seconds + 10), 100)
    node = lab.busiest_node()
    supervisor = psutil.Process(lab.fleet.children[node].pid)
    tree = [supervisor, *supervisor.children(recursive=True)]
    for process in tree:
        process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    for process in tree:
        process.send_signal(signal.SIGCONT)
    verdict = lab.wait_delivered(90)
    assert clean(verdict), verdict


def test_a_node_killed_in_the_moment_in_which_its_sessions_run_loses_nothing(
    new_lab: NewLab,
) -> None:
    """A session counts as running only when its position is stored: also when a
    new leader asks the nodes what they run while they are still starting it."""
    lab = new_lab()
    start(lab, 3, 60)
    lab.wait_running()
    lab.expect_copies()
    lab.post(600, 400)
    lab.kill_node(lab.busiest_node())
    verdict = lab.wait_delivered(40)
    assert clean(verdict), verdict
