"""Memory limits of cgroups: the tightest one on the way up counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from afx.node import cgroup

MIB = 1024 * 1024


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    (tmp_path / "proc/self").mkdir(parents=True)
    return tmp_path


def place(machine: Path, text: str) -> None:
    (machine / "proc/self/cgroup").write_text(text)


def limit(machine: Path, folder: str, **files: object) -> None:
    path = machine / "cgroup" / folder
    path.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (path / f"memory.{name}").write_text(f"{value}\n")


def memory(machine: Path) -> tuple[int, int] | None:
    return cgroup.memory(proc=machine / "proc", mount=machine / "cgroup")


def test_the_limit_of_a_service_unit_is_seen(machine: Path) -> None:
    place(machine, "0::/system.slice/afx.service\n")
    limit(machine, "", current=900 * MIB)
    limit(machine, "system.slice", max="max", current=800 * MIB)
    limit(machine, "system.slice/afx.service", max=512 * MIB, current=100 * MIB)
    assert memory(machine) == (512 * MIB, 412 * MIB)


def test_a_tighter_limit_above_counts(machine: Path) -> None:
    place(machine, "0::/a/b\n")
    limit(machine, "a", max=300 * MIB, current=250 * MIB)
    limit(machine, "a/b", max=512 * MIB, current=100 * MIB)
    assert memory(machine) == (300 * MIB, 50 * MIB)


def test_a_container_reads_its_limit_at_the_cgroup_root(machine: Path) -> None:
    place(machine, "0::/\n")
    limit(machine, "", max=256 * MIB, current=56 * MIB)
    assert memory(machine) == (256 * MIB, 200 * MIB)


def test_the_high_mark_is_a_limit_too(machine: Path) -> None:
    place(machine, "0::/a\n")
    limit(machine, "a", max=512 * MIB, high=400 * MIB, current=100 * MIB)
    assert memory(machine) == (400 * MIB, 300 * MIB)


def test_page_cache_that_can_be_dropped_is_free(machine: Path) -> None:
    place(machine, "0::/a\n")
    limit(machine, "a", max=512 * MIB, current=300 * MIB, stat=f"anon 5\ninactive_file {200 * MIB}")
    assert memory(machine) == (512 * MIB, 412 * MIB)


def test_version_1_is_read_too(machine: Path) -> None:
    place(machine, "9:cpu:/x\n5:memory:/docker/one\n1:name=systemd:/x\n")
    limit(machine, "memory/docker/one", limit_in_bytes=128 * MIB, usage_in_bytes=28 * MIB)
    limit(machine, "memory", limit_in_bytes=2**63 - 4096, usage_in_bytes=28 * MIB)
    assert memory(machine) == (128 * MIB, 100 * MIB)


def test_use_above_the_limit_leaves_nothing_free(machine: Path) -> None:
    place(machine, "0::/a\n")
    limit(machine, "a", max=100 * MIB, current=130 * MIB)
    assert memory(machine) == (100 * MIB, 0)


@pytest.mark.parametrize("text", ["", "nonsense", "0::", "0::/../..", "::::", "x:y"])
def test_a_process_without_a_limit_has_none(machine: Path, text: str) -> None:
    place(machine, text)
    limit(machine, "", current=5)
    assert memory(machine) is None


def test_a_machine_without_cgroups_has_no_limit(machine: Path) -> None:
    assert memory(machine) is None
