"""How long tasks waited and ran, by kind, node and tier."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.databases import open_sqlite

from afx.app import ProcessServers
from afx.config import load
from afx.operations import task_times
from afx.operations.context import Actor, Context
from models import base
from models.base import utc_now
from models.storage import tasks
from models.storage.sessions import NewSession, create_many
from models.storage.tasks import NewTask
from models.storage.users import create
from models.tables import WorkerTask


@pytest.fixture
def context(home: Path) -> Iterator[Context]:
    open_sqlite(home)
    yield ProcessServers(load(home=home)).context(Actor("me"))
    base.close_database()


def finish(numbers: list[int], **fields: object) -> None:
    """Let tasks have waited 1, 2, 3, … s, and have run for a tenth of that."""
    ready = utc_now() - timedelta(minutes=30)
    for place, number in enumerate(numbers, 1):
        started = ready + timedelta(seconds=place)
        ended = started + timedelta(seconds=place / 10)
        times = {"run_after": ready, "started_at": started, "finished_at": ended}
        WorkerTask.update({**times, **fields}).where(WorkerTask.id == number).execute()


def test_percentiles_and_failures_are_by_kind_node_and_tier(context: Context) -> None:
    sessions = [
        *create_many(create("alice", "free"), [NewSession("a", "sealed")]),
        *create_many(create("bob", "premium"), [NewSession("b", "sealed")]),
    ]
    first = tasks.submit([NewTask("session.check", sessions[0])] * 100, "me")
    second = tasks.submit([NewTask("chat.join", sessions[1])] * 10, "me")
    tasks.submit([NewTask("chat.join", sessions[1])], "me")  # it has not finished
    finish(first, state="succeeded", worker="w1")
    finish(second, state="failed", worker="w2")

    rows = {it.name: it for it in task_times.times(context)}
    check = rows["session.check"]
    assert (check.count, check.failed) == (100, 0)
    assert (check.waited.p50, check.waited.p95, check.waited.p99) == (51, 96, 100)
    assert (check.ran.p50, check.ran.p95, check.ran.p99) == (5.1, 9.6, 10)
    assert (rows["chat.join"].count, rows["chat.join"].failed) == (10, 10)
    by_node = {it.name: it.count for it in task_times.times(context, "node")}
    assert by_node == {"w1": 100, "w2": 10}
    by_tier = {it.name: it.failed for it in task_times.times(context, "tier")}
    assert by_tier == {"free": 0, "premium": 10}
    assert task_times.times(context, hours=0.1) == []
