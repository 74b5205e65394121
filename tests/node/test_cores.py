"""How many cores a process may use, by its affinity and by the quotas of its cgroups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from afx.node import cores


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


def usable(folder: Path, line: str, files: dict[str, str]) -> int:
    (folder / "self").mkdir()
    (folder / "self/cgroup").write_text(line)
    for name, text in files.items():
        path = folder / "mount" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return cores.usable(proc=folder, mount=folder / "mount")


def test_without_a_quota_each_core_counts(tmp_path: Path) -> None:
    assert usable(tmp_path, "0::/a\n", {"a/cpu.max": "max 100000\n"}) == 8


def test_the_tightest_quota_on_the_way_up_counts(tmp_path: Path) -> None:
    files = {"a/b/cpu.max": "500000 100000\n", "a/cpu.max": "250000 100000\n"}
    assert usable(tmp_path, "0::/a/b\n", files) == 2


def test_less_than_a_core_is_one(tmp_path: Path) -> None:
    assert usable(tmp_path, "0::/a\n", {"a/cpu.max": "50000 100000\n"}) == 1


def test_a_quota_of_version_1_counts(tmp_path: Path) -> None:
    files = {"cpu/a/cpu.cfs_quota_us": "300000\n", "cpu/a/cpu.cfs_period_us": "100000\n"}
    assert usable(tmp_path, "3:cpu,cpuacct:/a\n", files) == 3


@pytest.mark.parametrize("text", ["", "x y", "100000", "100000 0", "-1 100000"])
def test_a_malformed_quota_is_none(tmp_path: Path, text: str) -> None:
    assert usable(tmp_path, "0::/a\n", {"a/cpu.max": text}) == 8


def test_a_missing_proc_is_no_quota(tmp_path: Path) -> None:
    assert cores.usable(proc=tmp_path / "none", mount=tmp_path) == 8
