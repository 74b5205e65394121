"""Dead letters on a real cluster: from a refused send to SQL, and back by a command."""

from __future__ import annotations

import json

import pytest
from support.cli_runs import runner
from support.labs import NewLab, start

from afx.lab.cluster import LabCluster
from models.storage import assignments, dead_letters, rules

SAID = [f"message {number}" for number in range(60)]


@pytest.fixture
def lab(new_lab: NewLab) -> LabCluster:
    made = new_lab()
    start(made, 2, 1)
    made.wait_running()
    return made


def texts(lab: LabCluster, chat: int) -> list[str]:
    return [it["text"] for it in lab.sandbox.call("messages", chat=chat)]


def test_what_was_refused_is_delivered_by_a_command_after_the_node_was_killed(
    lab: LabCluster,
) -> None:
    [one] = lab.sessions
    [rule] = rules.for_sessions([one.id])[one.id]
    refused = {"method": "messages.sendMessage", "code": 400, "message": "MESSAGE_TOO_LONG"}
    lab.sandbox.call("fault", chat=one.destination, count=7, **refused)
    for text in SAID:
        lab.sandbox.call("post", chat=one.source, text=text)
    lab.wait("the others arrive", lambda: len(texts(lab, one.destination)) == 53, 60)
    lab.wait("SQL has the dead letters", lambda: dead_letters.count(rule.id) == 7, 60)

    node = next(it.worker for it in assignments.active())
    lab.kill_node(node)
    afx = runner(lab.settings.home)
    variables = {"AFX_REDIS_URL": lab.redis_url}
    shown = afx("rule", "dead", "list", "--json", **variables)
    assert sum(it["count"] for it in json.loads(shown.stdout)) == 7, shown.stderr
    tried = afx("rule", "dead", "retry", str(rule.id), "--yes", **variables)
    assert tried.returncode == 0, tried.stderr
    lab.wait("all arrive", lambda: len(texts(lab, one.destination)) >= 60, 90)
    lab.wait("no dead letter is left", lambda: not dead_letters.count(rule.id), 60)
    assert sorted(texts(lab, one.destination)) == sorted(SAID)
