"""A Redis that restarts, dies or forgets everything: nothing lost, nothing doubled."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis as redis_module
from labs import NewLab, clean, start

from afx.cluster import embedded, keys
from afx.coordinator.checkpoints import Checkpoints
from afx.coordinator.leader import Leader
from afx.errors import FencedError
from afx.lab import Lab
from models.base import transaction
from models.storage import assignments, cluster, cursors, sessions, users
from models.storage.cursors import save_many
from models.storage.sessions import NewSession


def flowing(new_lab: NewLab, posts: int = 900) -> Lab:
    lab = new_lab()
    start(lab, 3, 18)
    lab.wait_running()
    lab.expect_copies()
    lab.post(posts, 150)
    lab.wait("some arrive", lambda: lab.sandbox.call("judge")["delivered"] > 50, 20)
    return lab


def test_a_flushed_redis_is_filled_again_and_no_session_even_stops(new_lab: NewLab) -> None:
    lab = flowing(new_lab)
    before = {it.session: it.epoch for it in assignments.active()}
    generation = int(lab.redis.get(keys.GENERATION) or 0)
    lab.redis.flushall()
    verdict = lab.wait_delivered(40)
    assert clean(verdict), verdict
    lab.wait("a leader leads", lambda: bool(lab.redis.exists(keys.LEADER)), 10)
    assert {it.session: it.epoch for it in assignments.active()} == before
    assert int(lab.redis.get(keys.GENERATION) or 0) > generation
    lab.wait(
        "cursors are stored again",
        lambda: all(lab.redis.exists(keys.cursor(it.id)) for it in lab.sessions), 10,
    )  # fmt: skip
    # And they are good: whoever dies now is replaced without a message lost.
    lab.expect_copies()
    lab.post(300, 150)
    lab.kill_node(lab.busiest_node())
    verdict = lab.wait_delivered(40)
    assert clean(verdict), verdict


def test_a_flush_in_the_middle_of_starting_leaves_nobody_behind(new_lab: NewLab) -> None:
    lab = new_lab()
    start(lab, 2, 40)
    lab.wait("some run", lambda: lab.running() > 3, 20)
    lab.redis.flushall()
    lab.wait_running(seconds=40)
    lab.expect_copies()
    lab.post(80, 100)
    verdict = lab.wait_delivered(30)
    assert clean(verdict), verdict


@pytest.mark.parametrize("how", ["kill", "shutdown"])
def test_a_redis_that_restarts_begins_a_new_generation(new_lab: NewLab, how: str) -> None:
    lab = flowing(new_lab)
    generation = int(lab.redis.get(keys.GENERATION) or 0)
    home = lab.settings.home
    if how == "kill":
        import os

        os.kill(int(lab.redis.info()["process_id"]), signal.SIGKILL)
        lab.wait("it is gone", lambda: not embedded.is_running(home), 10)
    else:
        embedded.stop(home)
    time.sleep(0.5)
    embedded.ensure(home)
    verdict = lab.wait_delivered(40)
    assert clean(verdict), verdict
    lab.wait("a new generation", lambda: int(lab.redis.get(keys.GENERATION) or 0) > generation, 20)


def test_a_leaders_term_never_falls_below_what_sql_knows(new_lab: NewLab) -> None:
    lab = flowing(new_lab, posts=60)
    for _ in range(3):
        before = cluster.term()
        lab.redis.flushall()
        lab.wait("a newer term writes", lambda before=before: cluster.term() > before, 20)
        lab.wait("it leads", lambda: bool(lab.redis.exists(keys.LEADER)), 20)
        assert int(lab.redis.get(keys.TERM) or 0) == cluster.term()
    verdict = lab.wait_delivered(30)
    assert clean(verdict), verdict


def copied(lab: Lab) -> int:
    """Return how many sessions' cursors SQL has as Redis has them."""
    held = {k: v for page in cursors.pages() for k, v in page.items()}
    return sum(lab.redis.hgetall(keys.cursor(it.id)) == held.get(it.id) for it in lab.sessions)


def test_a_session_that_was_paused_when_redis_lost_all_misses_nothing(new_lab: NewLab) -> None:
    """Nobody runs it, so nobody but SQL still knows where it had come to."""
    lab = new_lab()
    start(lab, 1, 2)
    lab.wait_running()
    lab.expect_copies()
    lab.post(40, 200)
    verdict = lab.wait_delivered(20)
    assert clean(verdict), verdict
    session = sessions.find(lab.sessions[0].name)
    sessions.set_wanted(session, "paused")
    lab.wait("it has stopped", lambda: len(assignments.active()) == 1, 10)
    lab.post(40, 200)
    lab.wait("the other has copied", lambda: lab.sandbox.call("judge")["delivered"] == 60, 10)
    lab.wait("its cursor is copied", lambda: copied(lab) >= 1, 10)
    lab.redis.flushall()
    lab.wait("a leader leads", lambda: bool(lab.redis.exists(keys.CURSORS_KEPT)), 20)
    sessions.set_wanted(session, "running")
    verdict = lab.wait_delivered(20)
    assert clean(verdict), verdict


def test_a_node_that_dies_as_redis_loses_all_costs_no_message(new_lab: NewLab) -> None:
    lab = flowing(new_lab)
    lab.wait("all cursors are known to SQL", lambda: saved() == len(lab.sessions), 20)
    node = lab.busiest_node()
    lab.redis.flushall()
    lab.kill_node(node)
    verdict = lab.wait_delivered(60)
    assert clean(verdict), verdict


def saved() -> int:
    return sum(len(page) for page in cursors.pages())


def test_a_redis_that_is_flushed_while_cursors_are_restored_is_not_thought_whole(
    database: Any, redis: redis_module.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = users.create("alice")
    made = sessions.create_many(owner, [NewSession(f"s{number}", "sealed") for number in range(4)])
    with transaction():
        save_many({it: {"account": "5:0:1"} for it in made})
    redis.hset(keys.cursor(made[0]), "account", "9:0:2")
    leader = Leader(redis_url, 5.0, 3.0)
    assert leader.acquire()
    checkpoints = Checkpoints(redis, leader)
    pages = cursors.pages

    def flushed() -> Iterator[dict[int, dict[str, str]]]:
        for number, page in enumerate(pages(2)):
            if number:
                redis.flushall()
            yield page

    with monkeypatch.context() as patched:
        patched.setattr(cursors, "pages", flushed)
        with pytest.raises(FencedError, match="lost its data"):
            checkpoints.restore()
    redis.hset(keys.cursor(made[0]), "account", "9:0:2")
    checkpoints.restore()
    held = [redis.hget(keys.cursor(it), "account") for it in made]
    assert held == ["9:0:2", "5:0:1", "5:0:1", "5:0:1"]
    leader.close()
