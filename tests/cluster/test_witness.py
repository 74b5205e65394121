"""The witness: sees processes end, and says nothing of what it cannot see."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from afx.cluster import witness
from afx.cluster.registry import Metrics, WorkerView
from afx.cluster.witness import Witness


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        yield child
        child.kill()


@pytest.fixture
def observer() -> Iterator[Witness]:
    witness_of_test = Witness()
    yield witness_of_test
    witness_of_test.close()


def node(processes: str) -> WorkerView:
    return WorkerView(
        name="w1",
        incarnation="one",
        state="ready",
        seq=1,
        hostname="here",
        boot_id=witness.boot_id(),
        pid_namespace=witness.pid_namespace(),
        processes=processes,
        max_sessions=1,
        assigned=0,
        reserved=0,
        ended="",
        seen="ready",
        metrics=Metrics(0, 0, 0, 0.0, 0, 0, 0),
    )


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def test_a_running_process_is_not_dead(observer: Witness, process: subprocess.Popen[bytes]) -> None:
    assert not observer.dead([node(witness.describe([process.pid]))])


def test_a_node_whose_processes_have_all_ended_is_dead(
    observer: Witness, process: subprocess.Popen[bytes]
) -> None:
    there = node(witness.describe([process.pid]))
    observer.dead([there])
    end(process)
    assert observer.dead([there]) == {"one"}


def test_a_killed_process_is_dead_before_its_parent_waits_for_it(
    observer: Witness, process: subprocess.Popen[bytes]
) -> None:
    there = node(witness.describe([process.pid]))
    observer.dead([there])
    process.kill()
    while not observer.dead([there]):
        pass


def test_a_later_process_with_the_same_pid_is_not_confused_with_it(
    observer: Witness, process: subprocess.Popen[bytes]
) -> None:
    assert observer.dead([node(f"{process.pid}:1")]) == {"one"}


def test_a_process_that_ended_before_the_first_call_is_dead(
    observer: Witness, process: subprocess.Popen[bytes]
) -> None:
    there = node(witness.describe([process.pid]))
    end(process)
    assert observer.dead([there]) == {"one"}


def test_a_node_with_one_running_process_is_not_dead(
    observer: Witness, process: subprocess.Popen[bytes]
) -> None:
    there = node(witness.describe([process.pid, os.getpid()]))
    end(process)
    assert not observer.dead([there])


def test_a_process_that_proc_hides_is_not_dead(
    observer: Witness, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = node(witness.describe([process.pid]))
    # What hidepid=2 and other users' processes look like: no file under /proc.
    monkeypatch.setattr(witness, "_started", lambda _pid: "")
    assert not observer.dead([there])


def test_a_process_that_proc_hides_is_judged_once_it_can_be_seen(
    observer: Witness, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = node(witness.describe([process.pid]))
    with monkeypatch.context() as hidden:
        hidden.setattr(witness, "_started", lambda _pid: "")
        observer.dead([there])
    end(process)
    assert observer.dead([there]) == {"one"}


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOSYS, errno.EMFILE, errno.ENFILE])
def test_a_pidfd_that_cannot_be_opened_is_no_verdict(
    observer: Witness,
    process: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
    code: int,
) -> None:
    def refuse(_pid: int) -> int:
        raise OSError(code, os.strerror(code))

    there = node(witness.describe([process.pid]))
    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert not observer.dead([there])


@pytest.mark.parametrize(
    "text", ["", ":", "1", "x:1", "-1:5", "99999999999:5", ",", "1:2,,", "٣:5"]
)
def test_a_malformed_record_is_not_dead(observer: Witness, text: str) -> None:
    assert not observer.dead([node(text)])


@pytest.mark.parametrize("place", ["boot_id", "pid_namespace"])
def test_a_node_of_another_machine_or_namespace_is_not_judged(
    observer: Witness, process: subprocess.Popen[bytes], place: str
) -> None:
    there = replace(node(witness.describe([process.pid])), **{place: "another"})
    end(process)
    assert not observer.dead([there])


def test_a_machine_without_a_boot_id_judges_nothing(
    observer: Witness, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = replace(node(witness.describe([process.pid])), boot_id="", pid_namespace="")
    monkeypatch.setattr(witness, "boot_id", lambda: "")
    monkeypatch.setattr(witness, "pid_namespace", lambda: "")
    end(process)
    assert not observer.dead([there])
