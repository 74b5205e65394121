"""What carries tasks fails in mid-task: each task ends once, and each message is sent once."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from support.labs import NewLab, start
from support.postgres import PostgresServer, postgres_server

from afx.app import context_for
from afx.lab.cluster import LabCluster
from afx.local import private_redis
from afx.operations import task_requests
from afx.operations.task_requests import TaskRequest
from models import base
from models.storage import tasks

ROOMS = 30
pytestmark = pytest.mark.faults


class Broadcast:
    """A broadcast that is under way, and probes that wait and run beside it."""

    def __init__(self, lab: LabCluster) -> None:
        self._lab = lab
        one = lab.sessions[0]
        made = [{"title": f"room {n}", "posters": [one.account]} for n in range(ROOMS)]
        self._rooms = [it["id"] for it in lab.sandbox.call("channels", channels=made)]
        chats = [str(it) for it in self._rooms]
        arguments = {"chats": chats, "text": "hello", "pause_seconds": 0.15}
        self._ids = [*self._submit("message.broadcast", arguments, one.name)]
        for seconds in (0, 0.5, 4):
            self._ids += self._submit("task.probe", {"seconds": seconds})
        lab.wait("it has begun", lambda: self.sent() >= 3, 60)

    def _submit(self, kind: str, arguments: dict[str, object], *names: str) -> tuple[int, ...]:
        request = TaskRequest(kind=kind, arguments=arguments, sessions=names)
        return task_requests.submit(context_for(self._lab.settings, "test"), request).ids

    def texts(self) -> list[list[str]]:
        """Return what each room got."""
        found = (self._lab.sandbox.call("messages", chat=it) for it in self._rooms)
        return [[it["text"] for it in messages] for messages in found]

    def sent(self) -> int:
        """Return how many rooms have got something."""
        return sum(bool(it) for it in self.texts())

    def assert_ends_once(self) -> None:
        """Wait until all of it has ended, once."""
        self._lab.wait(
            "all tasks finish",
            lambda: all(tasks.get(it)["state"] in tasks.FINISHED for it in self._ids),
            60,
        )
        rows = [tasks.get(it) for it in self._ids]
        assert [it["state"] for it in rows] == ["succeeded"] * len(rows), rows
        assert rows[0]["result"] == {"sent": ROOMS, "refused": {}, "left_out": 0}
        assert self.texts() == [["hello"]] * ROOMS


@pytest.mark.parametrize("how", ["kill", "shutdown"])
def test_a_redis_that_restarts_in_mid_task(new_lab: NewLab, how: str) -> None:
    lab = new_lab()
    start(lab, 2, 2)
    lab.wait_running()
    broadcast = Broadcast(lab)
    home = lab.settings.home
    if how == "kill":
        os.kill(int(lab.redis.info()["process_id"]), signal.SIGKILL)
    else:
        private_redis.stop(home)
    lab.wait("it is gone", lambda: not private_redis.is_listening(home), 60)
    time.sleep(0.5)  # the nodes and the coordinator meet a Redis that is away
    private_redis.ensure(home)
    broadcast.assert_ends_once()


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


def test_sql_is_away_while_a_task_runs_and_ends(postgres: PostgresServer, new_lab: NewLab) -> None:
    lab = new_lab(database_url=postgres.url)
    start(lab, 2, 2)
    lab.wait_running()
    broadcast = Broadcast(lab)
    base.close_database()
    postgres.stop()
    stopped = time.monotonic()
    lab.wait("it goes on to its end", lambda: broadcast.sent() == ROOMS, 60)
    time.sleep(60 - (time.monotonic() - stopped))  # its end is reported, and nobody can write it
    postgres.start()
    base.reopen_database()
    broadcast.assert_ends_once()


@pytest.mark.parametrize("seed", [1, 2])
def test_nodes_that_are_killed_at_all_moments_double_no_message(new_lab: NewLab, seed: int) -> None:
    """Hundreds of short tasks are at each step of their lives when a node is killed."""
    rng = random.Random(seed)
    lab = new_lab()
    start(lab, 3, 6)
    lab.wait_running()
    context = context_for(lab.settings, "test")
    accounts = [it.account for it in lab.sessions]
    [room] = lab.sandbox.call("channels", channels=[{"title": "room", "posters": accounts}])
    expected: dict[int, str] = {}
    for burst in range(4):
        lab.wait_nodes(3)
        for number in range(60):
            text, session = f"text {burst}.{number}", rng.choice(lab.sessions)
            arguments = {"chats": [str(room["id"])], "text": text}
            request = TaskRequest(
                kind="message.broadcast", arguments=arguments, sessions=[session.name]
            )
            expected[task_requests.submit(context, request).ids[0]] = text
        victim = lab.busiest_node()
        lab.kill_node(victim)
        time.sleep(rng.uniform(0, 0.5))
        lab.processes.start_node(victim)
    lab.wait(
        "all tasks finish",
        lambda: all(tasks.get(it)["state"] in tasks.FINISHED for it in expected),
        120,
    )
    rows = {it: tasks.get(it) for it in expected}
    assert Counter(it["state"] for it in rows.values()) == {"succeeded": 240}, rows
    texts = [it["text"] for it in lab.sandbox.call("messages", chat=room["id"], most=1000)]
    assert Counter(texts) == dict.fromkeys(expected.values(), 1)
    assert any(it["publication"] > 1 for it in rows.values())  # it was no quiet hour
    time.sleep(2)
    assert {it: tasks.get(it) for it in expected} == rows  # a final state stays
