"""Whole clusters of real processes; the sandbox's ledger is the judge."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from typing import Any

import psutil
import pytest
from support.cli_runs import complains, runner
from support.labs import FlowingLab, NewLab, assert_clean, start, start_flow
from support.links import stored_links
from telethon import TelegramClient, errors
from telethon.sessions import StringSession

from afx.lab.cluster import LabCluster
from afx.lab.demo import Demo
from afx.local import process_tree
from models.base import transaction
from models.storage import assignments, queue, rules, sessions
from models.tables import SessionAssignment


def test_a_killed_node_loses_and_doubles_nothing(new_lab: NewLab) -> None:
    result = Demo(new_lab(), workers=3, sessions=24, messages=600, rate=200, kill=True).run()
    assert_clean(result.verdict)
    assert result.verdict.delivered == result.verdict.expected >= 600
    assert result.failover is not None and result.failover.sessions > 0


def test_every_copy_is_linked_to_its_source_across_a_kill(new_lab: NewLab) -> None:
    """Also those whose answers died with the node: edits must find them later."""
    lab = new_lab()
    result = Demo(lab, workers=2, sessions=6, messages=1200, rate=600, kill=True).run()
    # A slow recovery posts messages of its own: there may be more than 1200.
    expected = result.verdict.expected
    lab.wait("all links are stored", lambda: _linked(lab) == expected, 60)
    links = _links(lab)
    for session in lab.sessions:
        posts = {it["id"]: it["text"] for it in _messages(lab, session.source)}
        copies = {it["id"]: it["text"] for it in _messages(lab, session.destination)}
        for message, copy in links[session.source, session.destination].items():
            assert copies[copy] == posts[message]


def _messages(lab: LabCluster, chat: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = lab.sandbox.call("messages", chat=chat, most=10_000)
    return found


def _links(lab: LabCluster) -> dict[tuple[int, int], dict[int, int]]:
    """Return all links: (source, destination) → source message → copy."""
    names = [str(it).split(":") for it in lab.redis.keys("afx:links:*")]
    rules = {int(it[2]) for it in names if len(it) == 3 and it[2].isdecimal()}
    return {
        (route.source, route.destination): links
        for rule in rules
        for route, links in stored_links(lab.redis, rule).items()
    }


def _linked(lab: LabCluster) -> int:
    return sum(map(len, _links(lab).values()))


def test_a_cluster_on_postgres_forwards_as_well(
    new_lab: NewLab, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("_postgres")
    from models import base

    database = base.open_database(url)
    database.execute_sql("DROP SCHEMA public CASCADE")
    database.execute_sql("CREATE SCHEMA public")
    base.close_database()
    lab = new_lab(database_url=url)
    result = Demo(lab, workers=2, sessions=6, messages=60, rate=100, kill=True).run()
    assert_clean(result.verdict)


def test_a_killed_host_process_is_replaced_by_its_supervisor(flowing_lab: FlowingLab) -> None:
    lab = flowing_lab(1, 6, posts=300, rate=150)
    before = lab.nodes()[0].incarnation
    lab.process_tree("w1")[1].kill()
    lab.wait("a new incarnation", lambda: [it.incarnation for it in lab.nodes()] != [before], 60)
    verdict = lab.wait_delivered(30)
    assert_clean(verdict)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_the_host_ends_when_its_supervisor_ends_or_hangs(
    flowing_lab: FlowingLab, how: signal.Signals
) -> None:
    """The lease is no longer renewed: the host must not outlive it."""
    lab = flowing_lab(2, 8, posts=900, rate=100)
    node = lab.busiest_node()
    host = lab.process_tree(node)[1]
    lab.events()
    os.kill(lab.processes.children[node].pid, how)
    lab.wait_detected(node)
    # The host ends before another node takes its sessions over, not only afterwards.
    assert has_ended(host)
    lab.wait_running(8)
    if how == signal.SIGSTOP:
        os.kill(lab.processes.children[node].pid, signal.SIGCONT)
        lab.wait_nodes(2)
    assert_clean(lab.wait_delivered())


def has_ended(process: psutil.Process) -> bool:
    """Return whether a process does nothing more; nobody may have asked for its end yet."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


def test_a_suspended_node_is_replaced_and_does_nothing_after_it_resumes(
    flowing_lab: FlowingLab,
) -> None:
    """SIGSTOP of a whole node, longer than its lease, then SIGCONT."""
    lab = flowing_lab(2, 8, posts=900, rate=100)
    node = lab.busiest_node()
    tree = lab.process_tree(node)
    lab.events()
    process_tree.suspend(tree)
    lab.wait_detected(node)
    lab.wait_running(8, 60)
    process_tree.resume(tree)
    verdict = lab.wait_delivered(40)
    assert_clean(verdict)
    lab.wait("the woken node has restarted", lambda: len(lab.nodes()) == 2, 60)


def test_a_second_coordinator_takes_over_when_the_first_is_killed(new_lab: NewLab) -> None:
    lab = new_lab()
    start(lab, 2, 8)
    lab.processes.start_coordinator("coordinator-2")
    start_flow(lab, 400, 40)
    lab.processes.kill_tree("coordinator")
    node = lab.busiest_node()
    lab.wait("a new leader", lambda: int(lab.redis.get("afx:term") or 0) >= 2, 60)
    lab.kill_node(node)
    lab.wait_detected(node)
    verdict = lab.wait_delivered(40)
    assert_clean(verdict)


def test_unschedulable_sessions_wait_and_are_placed_when_room_appears(new_lab: NewLab) -> None:
    lab = new_lab()
    start(lab, 1, 8, "--max-sessions", "5")
    lab.wait_running(5)
    lab.wait("three sessions wait", lambda: queue.count() == 3, 60)
    assert {it["reason"] for it in queue.listing().rows} == {"all nodes are full"}
    assert lab.nodes()[0].assigned == 5
    afx = runner(lab.settings.home)
    listed = json.loads(afx("overflow", "list", "--json").stdout)
    assert len(listed) == 3 and listed[0]["reason"] == "all nodes are full"
    complains(afx("overflow", "drain", "--timeout", "0.2"), 4, "still wait")
    lab.processes.start_node("w2", "--max-sessions", "5")
    drained = afx("overflow", "drain", "--timeout", "30")
    assert (drained.returncode, drained.stdout) == (0, "The overflow queue is empty.\n")
    lab.wait_running(8)
    assert "The overflow queue is empty" in afx("overflow", "list").stderr


def test_a_paused_session_stops_and_misses_nothing_when_resumed(flowing_lab: FlowingLab) -> None:
    lab = flowing_lab(1, 2, posts=0)
    session = sessions.find(lab.sessions[0].name)
    sessions.set_desired_state(session, "paused")
    lab.wait("it has stopped", lambda: len(assignments.active()) == 1, 60)
    lab.post(40, 200)
    lab.wait("the other has copied", lambda: lab.judge().delivered == 20, 60)
    sessions.set_desired_state(session, "running")
    verdict = lab.wait_delivered(20)
    assert_clean(verdict)


def test_a_rule_that_is_added_takes_effect_and_costs_no_message(flowing_lab: FlowingLab) -> None:
    lab = flowing_lab(1, 2, posts=200, rate=100)
    session = lab.sessions[0]
    channel = {"title": "more", "posters": [session.account]}
    [more] = lab.sandbox.call("channels", channels=[channel])
    rules.create(sessions.find(session.name), [str(session.source)], [str(more["id"])], "copy")
    lab.wait("the new rule copies", lambda: lab.sandbox.call("messages", chat=more["id"]), 60)
    verdict = lab.wait_delivered(20)
    assert_clean(verdict)


def test_a_node_that_is_stopped_hands_its_sessions_over(flowing_lab: FlowingLab) -> None:
    lab = flowing_lab(2, 8, posts=300, rate=100)
    node = lab.busiest_node()
    lab.processes.terminate(node)
    assert lab.processes.wait_for_end(node) == 0
    verdict = lab.wait_delivered(30)
    assert_clean(verdict)


def test_a_redis_that_is_gone_for_a_while_costs_no_message(flowing_lab: FlowingLab) -> None:
    """Longer than the lease: all nodes end their hosts, and start new ones."""
    lab = flowing_lab(2, 6, posts=800, rate=50)
    server = int(lab.redis.info("server")["process_id"])
    hosts = [lab.process_tree(it)[1] for it in lab.processes.nodes()]
    os.kill(server, signal.SIGSTOP)
    lab.wait("all hosts have ended", lambda: not any(it.is_running() for it in hosts), 60)
    os.kill(server, signal.SIGCONT)
    verdict = lab.wait_delivered(60)
    assert_clean(verdict)


def test_a_revoked_login_is_reported_and_not_retried(flowing_lab: FlowingLab) -> None:
    # The intruder's connection gets the pushes: the session sees the loss when it polls.
    lab = flowing_lab(1, 2, posts=0, variables={"AFX_POLL_SECONDS": "1"})
    session = lab.sessions[0]
    sealed = sessions.find(session.name).login
    login = lab.vault.open(sealed, session_id=session.id)

    async def intrude() -> None:
        client = TelegramClient(StringSession(login), 1, "x", auto_reconnect=False)
        try:
            await client.connect()
            async with asyncio.timeout(20):
                while True:  # until Telegram has seen both use the login
                    await client.get_me()
        except (errors.RPCError, OSError):
            pass
        finally:
            await client.disconnect()

    asyncio.run(intrude())

    def reported() -> bool:
        return any("no longer accepts the login" in it["trouble"] for it in sessions.listing().rows)

    lab.wait("the loss is reported", reported, 60)
    assert {it["desired_state"] for it in sessions.listing().rows} == {"paused", "running"}
    with transaction():
        assert SessionAssignment.select().where(SessionAssignment.state != "ended").count() == 1


@pytest.mark.faults
@pytest.mark.parametrize("seconds", [5, 30])
def test_a_node_stopped_for_long_revokes_nothing(flowing_lab: FlowingLab, seconds: int) -> None:
    lab = flowing_lab(3, 30, posts=100 * (seconds + 10), rate=100)
    node = lab.busiest_node()
    tree = lab.process_tree(node)
    process_tree.suspend(tree)
    time.sleep(seconds)
    process_tree.resume(tree)
    verdict = lab.wait_delivered(90)
    assert_clean(verdict)


def test_a_node_killed_in_the_moment_in_which_its_sessions_run_loses_nothing(
    flowing_lab: FlowingLab,
) -> None:
    """A session counts as running only when its position is stored.

    So it is also when a new leader asks the nodes what they run while a start is
    under way.
    """
    lab = flowing_lab(3, 60, posts=0)
    lab.post(600, 400)
    lab.kill_node(lab.busiest_node())
    verdict = lab.wait_delivered(40)
    assert_clean(verdict)


def test_a_new_filter_reaches_a_running_session_without_a_restart(flowing_lab: FlowingLab) -> None:
    lab = flowing_lab(1, 1, posts=0)
    session = lab.sessions[0]
    [before] = assignments.active()
    rule = rules.find(f"{session.name}/copy")
    rules.change(rule, filter={"contains": ["good"]}, transform=[{"header": "h"}])

    def is_known() -> bool:
        lab.sandbox.call("post", chat=session.source, text=f"good {time.monotonic()}")
        return any(it["text"].startswith("h\n") for it in _messages(lab, session.destination))

    lab.wait("the new content is used", is_known, 60)
    lab.sandbox.call("post", chat=session.source, text="bad")
    lab.sandbox.call("post", chat=session.source, text="good last")
    lab.wait("the last is there", lambda: _last(lab, session.destination) == "h\ngood last", 60)
    assert not any(it["text"].endswith("bad") for it in _messages(lab, session.destination))
    assert assignments.active() == [before]


def test_filtered_and_changed_copies_survive_killed_nodes(new_lab: NewLab) -> None:
    """Each is made once and says what it must; what is refused is never forwarded."""
    lab = new_lab()
    lab.processes.start_coordinator()
    lab.add_sessions(4)
    # Before there are nodes: a rule that changes later is used within a second, not at once.
    wanted: dict[str, Any] = {"filter": {"contains": ["3"]}}
    for it in lab.sessions:
        [rule] = rules.for_sessions([it.id])[it.id]
        rules.change(rule, mode="copy", transform=[{"footer": "end"}], **wanted)
    lab.processes.start_nodes(2)
    lab.wait_nodes(2)
    lab.wait_running()
    routes = [[it.source, it.destination, it.account] for it in lab.sessions]
    lab.sandbox.call("expect", routes=routes, only="3", wrapped="{}\nend")
    lab.post(600, 150)
    lab.wait("copies arrive", lambda: lab.judge().delivered > 20, 60)
    lab.kill_node(lab.busiest_node())
    lab.wait("more is posted", lambda: lab.posted() == 600, 60)
    verdict = lab.wait_delivered(60)
    assert_clean(verdict)
    assert verdict.strange == 0 and 0 < verdict.expected < 600


def _last(lab: LabCluster, chat: int) -> str:
    return str(_messages(lab, chat)[-1]["text"])
