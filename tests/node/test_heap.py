"""When a host freezes its heap, and when it collects it."""

from __future__ import annotations

import pytest

from afx.node.heap import Heap, give_back_memory


class Recorder:
    """Notes what is asked of the garbage collector."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def freeze(self) -> None:
        self.calls.append("freeze")

    def unfreeze(self) -> None:
        self.calls.append("unfreeze")

    def collect(self) -> int:
        self.calls.append("collect")
        return 0

    def taken(self) -> list[str]:
        """Return the calls since the last time."""
        calls, self.calls = self.calls, []
        return calls


@pytest.fixture
def collector() -> Recorder:
    return Recorder()


@pytest.fixture
def heap(collector: Recorder) -> Heap:
    return Heap(collector, lambda: None)


def test_the_heap_is_frozen_after_many_starts(heap: Heap, collector: Recorder) -> None:
    heap.step(40, 0)
    assert collector.taken() == []
    heap.step(60, 0)
    assert collector.taken() == ["freeze"]
    heap.step(100, 0)
    assert collector.taken() == []
    heap.step(5000, 0)
    assert collector.taken() == ["freeze"]
    heap.step(5400, 0)
    assert collector.taken() == []


def test_sessions_that_ended_are_freed_when_they_are_many(heap: Heap, collector: Recorder) -> None:
    heap.step(4000, 0)
    collector.taken()
    heap.step(3300, 700)
    assert collector.taken() == []
    heap.step(2900, 1100)
    assert collector.taken() == ["unfreeze", "collect", "freeze"]
    heap.step(2900, 1100)
    assert collector.taken() == []


def test_sessions_that_replace_others_are_frozen_too(heap: Heap, collector: Recorder) -> None:
    heap.step(400, 0)
    collector.taken()
    heap.step(0, 400)
    heap.step(400, 400)
    assert collector.taken() == ["freeze"]


def test_when_ram_is_short_memory_is_given_back_once_a_minute(collector: Recorder) -> None:
    heap = Heap(collector, lambda: collector.calls.append("give back"))
    heap.trim(100.0)
    assert collector.taken() == ["unfreeze", "collect", "freeze", "give back"]
    heap.trim(159.0)
    assert collector.taken() == []
    heap.trim(160.0)
    assert "give back" in collector.taken()


def test_unused_memory_is_given_back_at_each_step_after_what_is_collected(
    collector: Recorder,
) -> None:
    heap = Heap(collector, lambda: collector.calls.append("give back"))
    heap.step(10, 0)
    heap.step(10, 600)
    assert collector.taken() == ["give back", "unfreeze", "collect", "freeze", "give back"]


def test_memory_can_be_given_back_whatever_the_system() -> None:
    give_back_memory()
