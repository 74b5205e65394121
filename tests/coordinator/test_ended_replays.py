"""Nodes are told of replays that are over, whose sessions would go on with them."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from afx.coordinator import ended_replays
from afx.coordinator.ended_replays import EndedReplays


def test_each_life_of_a_session_is_told_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    over = [(7, 2, 1), (8, 1, 2), (9, 1, 3)]
    active: dict[int, Any] = {
        1: SimpleNamespace(worker="w1", incarnation="i1", epoch=4, state="running"),
        2: SimpleNamespace(worker="w1", incarnation="i1", epoch=4, state="stopping"),
    }
    sent: list[Any] = []
    orders: Any = SimpleNamespace(cancel_tasks=lambda *order: sent.append(order))
    monkeypatch.setattr(ended_replays.task_queue, "ended_of_kind", lambda *_, **__: over)
    table: Any = SimpleNamespace(active=active)
    it = EndedReplays(table, orders, lambda: datetime.now(UTC))
    told = ("w1", "i1", [(7, 2)])
    for now in (10.0, 12.0, 35.0):
        it.step(now)
        assert sent == [told]
    for now in (45.0, 100.0, 200.0):
        it.step(now)
        assert sent == [told, told]
    active[1].epoch, active[1].worker, active[1].incarnation = 5, "w2", "i2"
    it.step(210.0)
    assert sent[2:] == [("w2", "i2", [(7, 2)])]
    over.clear()
    it.step(220.0)
    assert not it._told


def test_all_are_told_however_many_were_ended_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def page(*_: object, below: int) -> list[tuple[int, int, int]]:
        return [(it, 1, 1) for it in range(below - 1 if below else 5, 0, -1)][:2]

    active: Any = SimpleNamespace(worker="w1", incarnation="i1", epoch=4, state="running")
    sent: list[int] = []
    orders: Any = SimpleNamespace(
        cancel_tasks=lambda _, __, tasks: sent.extend(task for task, _ in tasks)
    )
    monkeypatch.setattr(ended_replays, "_PAGE", 2)
    monkeypatch.setattr(ended_replays.task_queue, "ended_of_kind", page)
    table: Any = SimpleNamespace(active={1: active})
    it = EndedReplays(table, orders, lambda: datetime.now(UTC))
    for now in range(10, 30):
        it.step(float(now))
    assert sent == [5, 4, 3, 2, 1]
    for now in range(45, 80):
        it.step(float(now))
    assert sorted(sent) == sorted([1, 2, 3, 4, 5] * 2)
