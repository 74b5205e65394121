"""A Redis that restarts, dies or forgets everything: nothing lost, nothing doubled."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from typing import Any

import pytest
import redis as redis_module
from support.labs import FlowingLab, NewLab, assert_clean, start, start_flow
from support.redis_pair import RedisPair

from afx.app import context_for
from afx.clock import SYSTEM_CLOCK
from afx.cluster import keys
from afx.cluster.leadership import LeaderElection, Leadership
from afx.coordinator.checkpoints import Checkpoints
from afx.errors import FencedError
from afx.lab.cluster import LabCluster
from afx.local import private_redis
from afx.operations import sessions as acts
from models.base import transaction
from models.storage import assignments, cluster, controls, cursors, sessions, users
from models.storage.cursors import save_many
from models.storage.sessions import NewSession


def generation(lab: LabCluster) -> int:
    return int(lab.redis.get(keys.GENERATION) or 0)


def test_a_flushed_redis_is_filled_again_and_no_session_even_stops(flowing_lab: FlowingLab) -> None:
    lab = flowing_lab(3, 18, posts=900)
    before = {it.session: it.epoch for it in assignments.active()}
    before_loss = generation(lab)
    lab.redis.flushall()
    verdict = lab.wait_delivered(40)
    assert_clean(verdict)
    lab.wait("a leader leads", lambda: bool(lab.redis.exists(keys.LEADER)), 60)
    assert {it.session: it.epoch for it in assignments.active()} == before
    assert generation(lab) > before_loss
    lab.wait(
        "cursors are stored again",
        lambda: all(lab.redis.exists(keys.cursor(it.id)) for it in lab.sessions),
        60,
    )
    # The stored cursors are right: a node that dies now is replaced without a message lost.
    start_flow(lab, 300, 150)
    lab.kill_node(lab.busiest_node())
    verdict = lab.wait_delivered(40)
    assert_clean(verdict)


def test_after_a_flush_while_sessions_start_all_of_them_run(new_lab: NewLab) -> None:
    lab = new_lab()
    start(lab, 2, 40)
    lab.wait("some run", lambda: lab.running() > 3, 60)
    lab.redis.flushall()
    start_flow(lab, 80, 100)
    verdict = lab.wait_delivered(30)
    assert_clean(verdict)


@pytest.mark.parametrize("how", ["kill", "shutdown"])
def test_a_redis_that_restarts_begins_a_new_generation(flowing_lab: FlowingLab, how: str) -> None:
    lab = flowing_lab(3, 18, posts=900)
    before_loss = generation(lab)
    home = lab.settings.home
    if how == "kill":
        os.kill(int(lab.redis.info()["process_id"]), signal.SIGKILL)
    else:
        private_redis.stop(home)
    lab.wait("it is gone", lambda: not private_redis.is_listening(home), 60)
    time.sleep(0.5)  # the nodes and the coordinator meet a Redis that is away
    private_redis.ensure(home)
    verdict = lab.wait_delivered(40)
    assert_clean(verdict)
    lab.wait("a new generation", lambda: generation(lab) > before_loss, 60)


def test_a_leaders_term_never_falls_below_what_sql_knows(flowing_lab: FlowingLab) -> None:
    lab = flowing_lab(3, 18, posts=60)
    for _ in range(3):
        before = cluster.term()
        lab.redis.flushall()
        lab.wait("a newer term writes", lambda before=before: cluster.term() > before, 60)
        lab.wait("it leads", lambda: bool(lab.redis.exists(keys.LEADER)), 60)
        assert int(lab.redis.get(keys.TERM) or 0) == cluster.term()
    verdict = lab.wait_delivered(30)
    assert_clean(verdict)


def copied(lab: LabCluster) -> int:
    """Return how many sessions' cursors SQL has as Redis has them."""
    in_sql = cursors.page(0, 1000)
    return sum(lab.redis.hgetall(keys.cursor(it.id)) == in_sql.get(it.id) for it in lab.sessions)


def test_a_session_that_was_paused_when_redis_lost_all_misses_nothing(
    flowing_lab: FlowingLab,
) -> None:
    """No node runs it, so only SQL still has its cursor."""
    lab = flowing_lab(1, 2, posts=40, rate=200)
    verdict = lab.wait_delivered(20)
    assert_clean(verdict)
    session = sessions.find(lab.sessions[0].name)
    sessions.set_desired_state(session, "paused")
    lab.wait("it has stopped", lambda: len(assignments.active()) == 1, 60)
    lab.post(40, 200)
    lab.wait("the other has copied", lambda: lab.judge().delivered == 60, 60)
    lab.wait("its cursor is copied", lambda: copied(lab) >= 1, 60)
    lab.redis.flushall()
    lab.wait("a leader leads", lambda: bool(lab.redis.exists(keys.CURSORS_COMPLETE)), 60)
    sessions.set_desired_state(session, "running")
    verdict = lab.wait_delivered(20)
    assert_clean(verdict)


def test_a_node_that_dies_as_redis_loses_all_costs_no_message(flowing_lab: FlowingLab) -> None:
    lab = flowing_lab(3, 18, posts=900)
    lab.wait("all cursors are known to SQL", lambda: saved() == len(lab.sessions), 60)
    node = lab.busiest_node()
    lab.redis.flushall()
    lab.kill_node(node)
    verdict = lab.wait_delivered(60)
    assert_clean(verdict)


def saved() -> int:
    return len(cursors.page(0, 1000))


def restore(redis: redis_module.Redis, leadership: Leadership) -> None:
    checkpoints = Checkpoints(redis, leadership)
    while checkpoints.restore_page():
        pass


def test_a_redis_that_is_flushed_while_cursors_are_restored_is_restored_again(
    database: Any, redis: redis_module.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = users.create("alice")
    made = sessions.create_many(owner, [NewSession(f"s{number}", "sealed") for number in range(4)])
    with transaction():
        save_many({it: {"account": "5:0:1"} for it in made})
    redis.hset(keys.cursor(made[0]), "account", "9:0:2")
    election = LeaderElection(
        redis_url,
        holder="a:1:x",
        ttl_seconds=5.0,
        stop_seconds=3.0,
        tick_limit_seconds=60.0,
        clock=SYSTEM_CLOCK,
    )
    leadership = election.acquire()
    assert leadership
    page = cursors.page

    def flushed(beyond: int, limit: int) -> dict[int, dict[str, str]]:
        del limit
        if beyond:
            redis.flushall()
        return page(beyond, 2)

    with monkeypatch.context() as patched:
        patched.setattr(cursors, "page", flushed)
        with pytest.raises(FencedError, match="lost its data"):
            restore(redis, leadership)
    redis.hset(keys.cursor(made[0]), "account", "9:0:2")
    restore(redis, leadership)
    restored = [redis.hget(keys.cursor(it), "account") for it in made]
    assert restored == ["9:0:2", "5:0:1", "5:0:1", "5:0:1"]
    leadership.resign()
    election.close()


def test_a_node_whose_registration_is_not_answered_tries_again_as_another(
    new_lab: NewLab,
) -> None:
    """It cannot know whether it was registered, given sessions, and fenced."""
    lab = new_lab()
    lab.add_sessions(2)
    lab.processes.start_coordinator()
    lab.wait("it leads", lambda: bool(lab.redis.exists(keys.LEADER)), 60)
    lab.redis.client_pause(120_000, all=False)  # writes wait; reads are answered
    lab.processes.start_node("w1")
    lab.wait("it is unsure", lambda: '"work": "registration"' in lab.log.read_text(), 60)
    lab.redis.client_unpause()
    lab.wait_running(seconds=30)
    endings = [it for it in lab.log.read_text().splitlines() if "incarnation_ended" in it]
    assert "unsure" in endings[0]


@pytest.mark.parametrize("what", ["nothing else", "a node dies", "a session moves"])
def test_a_failover_to_a_replica_that_lags_loses_nothing(
    pair: RedisPair, flowing_lab: FlowingLab, what: str
) -> None:
    """What was written last is gone: beats, owners, cursors, fences, reports."""
    lab = flowing_lab(3, 18, posts=900, redis_url=pair.url)
    lab.wait("the replica is in sync", pair.in_sync, 60)
    lab.wait("some arrive", lambda: lab.judge().delivered > 50, 60)
    before_loss = generation(lab)
    pair.fall_behind()
    if what == "a node dies":
        lab.kill_node(lab.busiest_node())
        lab.wait_running()
    elif what == "a session moves":
        control = acts.move(context_for(lab.settings, "test"), lab.sessions[0].name).control
        assert control is not None
        lab.wait("it has moved", lambda: controls.get(control)["state"] == "done", 60)
    else:
        time.sleep(1.5)
    pair.fail_over()
    verdict = lab.wait_delivered(60)
    assert_clean(verdict)
    lab.wait("a new generation", lambda: generation(lab) > before_loss, 60)
    lab.wait_running()
    lab.wait("the counts of all nodes are right", lambda: counted(lab), 60)


def counted(lab: LabCluster) -> bool:
    sessions_on = Counter(it.worker for it in assignments.active())
    return all(it.assigned == sessions_on[it.name] for it in lab.nodes())
