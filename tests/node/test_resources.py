"""What a host process may use: its part of the machine, and of its node's limit."""

from __future__ import annotations

from types import SimpleNamespace

import psutil
import pytest

from afx.node import cgroup, resources
from afx.node.resources import Resources

MIB = 1 << 20
SUPERVISOR, HOST, GONE = 1, 2, 3
RSS = {SUPERVISOR: 40 * MIB, HOST: 100 * MIB}


class Process:
    """A process of a known size, which uses a whole core."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def memory_info(self) -> SimpleNamespace:
        if self._pid == GONE:
            raise psutil.NoSuchProcess(self._pid)
        return SimpleNamespace(rss=RSS[self._pid])

    def cpu_percent(self) -> float:
        return 100.0


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of four cores, with 3,000 of 8,000 MiB free, and no cgroup."""
    memory = SimpleNamespace(total=8000 * MIB, available=3000 * MIB)
    fake = SimpleNamespace(
        Process=Process,
        NoSuchProcess=psutil.NoSuchProcess,
        virtual_memory=lambda: memory,
        cpu_count=lambda: 4,
    )
    monkeypatch.setattr(resources, "psutil", fake)
    monkeypatch.setattr(cgroup, "memory", lambda: None)


def test_a_process_alone_has_all_of_its_machine() -> None:
    rss, free, limit, _ = Resources(SUPERVISOR, HOST, 0).sample()
    assert (rss, free, limit) == (140 * MIB, 3000 * MIB, 8000 * MIB)


def test_processes_share_the_machine_and_their_supervisor() -> None:
    rss, free, limit, _ = Resources(SUPERVISOR, HOST, 0, processes=4).sample()
    assert (rss, free, limit) == (110 * MIB, 750 * MIB, 2000 * MIB)


def test_processes_share_the_limit_of_their_node() -> None:
    rss, free, limit, _ = Resources(SUPERVISOR, HOST, 1000 * MIB, processes=4).sample()
    assert (rss, free, limit) == (110 * MIB, 140 * MIB, 250 * MIB)


def test_the_limit_of_a_cgroup_is_shared_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "memory", lambda: (1600 * MIB, 200 * MIB))
    _, free, limit, _ = Resources(SUPERVISOR, HOST, 0, processes=2).sample()
    assert (free, limit) == (100 * MIB, 800 * MIB)


def test_a_process_that_uses_its_part_of_the_cores_is_fully_loaded() -> None:
    alone = Resources(0, HOST, 0)
    shared = Resources(0, HOST, 0, processes=4)
    for _ in range(50):
        alone.sample()
        shared.sample()
    assert alone.sample()[3] == pytest.approx(0.25, rel=0.01)
    assert shared.sample()[3] == pytest.approx(1.0, rel=0.01)


def test_a_process_that_is_gone_uses_nothing() -> None:
    assert Resources(GONE, HOST, 0).sample()[0] == 100 * MIB
