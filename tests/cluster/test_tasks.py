"""Tasks on a real cluster: real nodes, a sandbox, and what kills and moves do to them."""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

import pytest
from support.cli_runs import runner
from support.labs import NewLab, start

from afx.app import context_for
from afx.lab.cluster import LabCluster
from afx.operations import sessions as session_acts
from afx.operations import task_requests
from afx.operations.context import Context
from afx.operations.task_requests import TaskRequest
from models.storage import assignments, rules, tasks


def me(lab: LabCluster) -> Context:
    return context_for(lab.settings, "test")


def submit(lab: LabCluster, kind: str, *names: str, **fields: Any) -> tuple[int, ...]:
    arguments = fields.pop("arguments", {})
    request = TaskRequest(kind=kind, arguments=arguments, sessions=names, **fields)
    return task_requests.submit(me(lab), request).ids


def finished(lab: LabCluster, ids: tuple[int, ...], seconds: float = 60.0) -> list[dict[str, Any]]:
    """Wait until tasks have finished; returns them."""
    lab.wait(
        f"tasks {ids} finish",
        lambda: all(tasks.get(it)["state"] in tasks.FINISHED for it in ids),
        seconds,
    )
    return [tasks.get(it) for it in ids]


def result(lab: LabCluster, kind: str, name: str, **arguments: Any) -> Any:
    [task] = finished(lab, submit(lab, kind, name, arguments=arguments))
    assert task["state"] == "succeeded", task["error"]
    return task["result"]


def channels(lab: LabCluster, *made: dict[str, Any]) -> list[int]:
    return [it["id"] for it in lab.sandbox.call("channels", channels=list(made))]


def texts(lab: LabCluster, chat: int) -> list[str]:
    return [it["text"] for it in lab.sandbox.call("messages", chat=chat)]


def node_of(session: int) -> str:
    """Return the node that runs a session; empty: none does."""
    runs = (it for it in assignments.active() if it.state == "running")
    return next((it.worker for it in runs if it.session == session), "")


@pytest.fixture
def lab(new_lab: NewLab) -> LabCluster:
    made = new_lab()
    start(made, 2, 4)
    made.wait_running()
    return made


def test_each_kind_does_its_work_on_the_node_of_its_session(lab: LabCluster) -> None:
    one = lab.sessions[0]
    checked = finished(lab, submit(lab, "session.check", every_session=True))
    assert [it["result"]["account"] for it in checked] == [it.account for it in lab.sessions]
    assert [it["worker"] for it in checked] == [node_of(it.id) for it in lab.sessions]

    [public] = channels(lab, {"title": "news", "username": "newsroom"})
    found = result(lab, "chat.resolve", one.name, chat="@newsroom")
    assert found == {"chat": public, "title": "news"}
    by_id = result(lab, "chat.resolve", one.name, chat=str(one.source))
    assert by_id["chat"] == one.source

    def members() -> int:
        [count] = [it["members"] for it in lab.sandbox.call("chats") if it["id"] == public]
        return int(count)

    before = members()
    # Joining once more would wait for minutes: see the budgets of accounts.
    result(lab, "chat.join", one.name, chat="@newsroom")
    assert members() == before + 1
    for _ in range(2):  # leaving once more changes nothing
        result(lab, "chat.leave", one.name, chat="@newsroom")
        assert members() == before

    [bad] = finished(lab, submit(lab, "chat.resolve", one.name, arguments={"chat": "@nobody1"}))
    assert (bad["state"], bad["attempts"]) == ("failed", 1)
    assert "@nobody1" in bad["error"]

    recycled = result(lab, "session.recycle", one.name)
    assert recycled["seconds"] > 0

    assert_the_command_line_waits_and_follows(lab, one.name)

    submitted = [time.time() for _ in range(15) if not time.sleep(0.02)]
    delays = []
    for _ in submitted:
        [task] = finished(lab, submit(lab, "task.probe"))
        delays.append((task["started_at"] - task["created_at"]).total_seconds())
    # They are woken: nodes that looked every 5 s would begin after 2.5.
    assert statistics.median(delays) < 1.0, delays


def assert_the_command_line_waits_and_follows(lab: LabCluster, session: str) -> None:
    afx = runner(lab.settings.home)
    done = afx("task", "submit", "session.check", "--session", session, "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert (shown["state"], shown["session"]) == ("succeeded", session)
    again = afx("task", "show", str(shown["id"]), "--follow")
    assert again.returncode == 0 and "succeeded, 100%" in again.stderr
    followed = afx("task", "submit", "task.probe", "--arg", "seconds=0.5", "--follow")
    assert followed.returncode == 0
    assert "running, 0%" in followed.stderr and "succeeded, 100%" in followed.stderr
    broadcast = ("task", "submit", "message.broadcast", "--session", session)
    told = afx(*broadcast, "--arg", "chats=@nobody1", "--arg", "text=x", "--follow", "--json")
    assert "chat 1 of 1: CHAT_NOT_FOUND" in told.stderr
    logged = afx("task", "logs", str(json.loads(told.stdout)["id"])).stdout
    assert "chat 1 of 1: CHAT_NOT_FOUND" in logged and "started" in logged
    assert afx(*broadcast, "--no-wait", "--follow").returncode == 2
    assert afx("task", "submit", "task.probe", "--arg", "fails=true").returncode == 1
    late = afx("task", "submit", "task.probe", "--arg", "seconds=30", "--timeout", "1")
    assert late.returncode == 4


def test_old_messages_are_exported_copied_and_replayed(lab: LabCluster) -> None:
    one = lab.sessions[0]
    lab.expect_copies([one])
    said = [f"text {number}" for number in range(45)]
    for text in said:
        lab.sandbox.call("post", chat=one.source, text=text)
    lab.wait("live copies", lambda: len(texts(lab, one.destination)) == 45, 60)

    exported = result(lab, "chat.export", one.name, chat=str(one.source), format="jsonl")
    lines = (lab.settings.home / exported["file"]).read_text().splitlines()
    assert [json.loads(it)["text"] for it in lines] == said

    sheet = result(lab, "chat.export", one.name, chat=str(one.source), format="csv", most=3)
    rows = (lab.settings.home / sheet["file"]).read_text().splitlines()
    assert [it.rpartition(",")[2] for it in rows] == said[-3:]

    [empty] = channels(lab, {"title": "old", "posters": [one.account]})
    arguments = {"source": str(one.source), "destination": str(empty), "most": 30}
    assert result(lab, "chat.backfill", one.name, **arguments) == {"copied": 30, "refused": 0}
    assert texts(lab, empty) == said[-30:]

    [rule] = rules.for_sessions([one.id])[one.id]
    tested = result(lab, "rule.test", one.name, rule=rule.id)
    assert tested["works"] and len(tested["chats"]) == 2
    replayed = result(lab, "rule.replay", one.name, rule=rule.id, first=1, last=40)
    assert replayed["refused"] == 0
    assert texts(lab, one.destination) == said  # nothing is doubled
    [bad] = finished(lab, submit(lab, "rule.test", one.name, arguments={"rule": 9999}))
    assert "no enabled rule" in bad["error"]


def test_a_broadcast_that_is_moved_and_killed_reaches_each_chat_once(lab: LabCluster) -> None:
    one = lab.sessions[0]
    made = [{"title": f"room {n}", "posters": [one.account]} for n in range(30)]
    rooms = channels(lab, *made)
    arguments = {"chats": [str(it) for it in rooms], "text": "hello", "pause_seconds": 0.15}
    [number] = submit(lab, "message.broadcast", one.name, arguments=arguments)

    def sent() -> int:
        return sum(bool(texts(lab, it)) for it in rooms)

    lab.wait("it has begun", lambda: sent() >= 3, 60)
    first = node_of(one.id)
    session_acts.move(me(lab), one.name)
    lab.wait("the session moves", lambda: node_of(one.id) not in (first, ""), 60)
    so_far = sent()
    lab.wait("it goes on", lambda: sent() >= so_far + 3, 60)
    lab.kill_node(node_of(one.id))
    [task] = finished(lab, (number,), 60)
    assert task["state"] == "succeeded", task["error"]
    assert task["result"] == {"sent": 30, "refused": {}, "left_out": 0}
    assert [texts(lab, it) for it in rooms] == [["hello"]] * 30
    assert "hello" not in task["arguments"]  # sealed


def test_a_wait_that_telegram_asks_for_costs_no_attempt(lab: LabCluster) -> None:
    one = lab.sessions[0]
    lab.sandbox.call("flood", account=one.account, seconds=2)
    arguments = {"chats": [str(one.destination)], "text": "hello"}
    [number] = submit(lab, "message.broadcast", one.name, arguments=arguments)
    lab.wait("it is snoozed", lambda: "asks to wait" in tasks.get(number)["error"], 60)
    [task] = finished(lab, (number,), 60)
    assert task["state"] == "succeeded", task["error"]
    assert (task["attempts"], texts(lab, one.destination)) == (1, ["hello"])
