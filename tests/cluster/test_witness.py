"""The witness of deaths on this machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from afx.cluster.registry import Metrics, WorkerView
from afx.cluster.witness import Witness, boot_id, describe, pid_namespace

NOTHING = Metrics(0, 0, 0, 0.0, 0, 0, 0)


def view(process: subprocess.Popen[bytes], **changes: str) -> WorkerView:
    fields = {
        "boot_id": boot_id(),
        "pid_namespace": pid_namespace(),
        "processes": describe([process.pid]),
    }
    fields |= changes
    return WorkerView(
        "w",
        "one",
        "ready",
        1,
        "h",
        fields["boot_id"],
        fields["pid_namespace"],
        fields["processes"],
        1,
        0,
        0,
        "",
        "",
        NOTHING,
    )


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield child
    child.kill()
    child.communicate()


def test_a_killed_process_is_seen_before_anybody_reaps_it(
    process: subprocess.Popen[bytes],
) -> None:
    witness, alive = Witness(), view(process)
    assert witness.dead([alive]) == set()
    process.kill()
    while not witness.dead([alive]):
        pass
    witness.close()


def test_a_later_process_of_the_same_pid_is_not_taken_for_it(
    process: subprocess.Popen[bytes],
) -> None:
    witness = Witness()
    assert witness.dead([view(process, processes=f"{process.pid}:1")]) == {"one"}
    witness.close()


def test_processes_of_another_machine_or_namespace_are_not_judged(
    process: subprocess.Popen[bytes],
) -> None:
    witness = Witness()
    process.kill()
    process.wait()
    assert witness.dead([view(process, boot_id="other")]) == set()
    assert witness.dead([view(process, pid_namespace="other")]) == set()
    witness.close()
