"""What a host process may use: its part of the machine, and of its node's limit."""

from __future__ import annotations

import os

import psutil
import pytest

from afx.node import cgroup
from afx.node.resources import Resources

MIB = 1 << 20


@pytest.fixture(autouse=True)
def no_cgroup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "memory", lambda: None)


def test_processes_share_the_limit_of_their_node() -> None:
    rss, free, limit, _ = Resources(0, os.getpid(), 4000 * MIB, processes=4).sample()
    assert limit == 1000 * MIB
    assert free <= limit - rss


def test_processes_share_what_is_free() -> None:
    available = psutil.virtual_memory().available
    parts = [Resources(0, os.getpid(), 0, processes=2).sample() for _ in range(2)]
    # It changes while it is read; each alone would see nearly all of it.
    assert sum(free for _, free, _, _ in parts) < 1.3 * available
    assert sum(limit for _, _, limit, _ in parts) <= psutil.virtual_memory().total


def test_each_process_has_a_part_of_the_supervisor() -> None:
    alone, *_ = Resources(0, os.getpid(), 0).sample()
    whole, *_ = Resources(os.getppid(), os.getpid(), 0).sample()
    half, *_ = Resources(os.getppid(), os.getpid(), 0, processes=2).sample()
    supervisor = psutil.Process(os.getppid()).memory_info().rss
    assert whole - alone == pytest.approx(supervisor, rel=0.3)
    assert half - alone == pytest.approx(supervisor / 2, rel=0.4)


def test_a_process_that_is_gone_uses_nothing() -> None:
    child = psutil.Popen(["sleep", "60"])
    resources = Resources(child.pid, os.getpid(), 0)
    child.kill()
    child.wait()
    assert resources.sample()[0] > 0
