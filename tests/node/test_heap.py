"""When a host freezes its heap, and when it collects it."""

from __future__ import annotations

import pytest

from afx.node.heap import Heap


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
    return Heap(collector)


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


def test_the_c_library_gives_memory_back(collector: Recorder) -> None:
    Heap(collector).trim(0.0)  # it raises nothing, with or without glibc
    assert collector.taken() == ["unfreeze", "collect", "freeze"]
