"""Sees the end of processes on this machine that are not our children.

The kernel closes the sockets of a killed process before its pidfd becomes readable, so a
node whose processes have all ended can be replaced at once, without waiting for its lease.
Only a process of the same boot and pid namespace can be such a witness.
"""

from __future__ import annotations

import os
import select
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from afx.cluster.worker_records import WorkerView


class _CannotJudgeError(Exception):
    """Whether a process has ended cannot be seen from here."""


@cache
def boot_id() -> str:
    """Return the id of this boot; "" where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


@cache
def pid_namespace() -> str:
    """Return the name of this process's pid namespace; "" where the system has none."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def describe(pids: Iterable[int]) -> str:
    """Return ``pid:start,…``, which identifies processes although pids are reused."""
    return ",".join(f"{pid}:{_started(pid)}" for pid in pids)


class Witness:
    """Holds a pidfd for each process of the nodes on this machine.

    What cannot be seen is not dead: where ``/proc`` hides a process (``hidepid``), or a
    pidfd cannot be opened, the witness says nothing of that node, and tries again with the
    next call.
    """

    def __init__(self) -> None:
        self._watched: dict[str, list[int]] = {}
        self._gone: set[str] = set()

    def dead(self, workers: Iterable[WorkerView]) -> set[str]:
        """Return the incarnations of these nodes whose processes have all ended."""
        seen: set[str] = set()
        for worker in workers:
            if not self._is_near(worker):
                continue
            seen.add(worker.incarnation)
            if worker.incarnation not in self._watched:
                try:
                    self._watched[worker.incarnation] = _open_all(worker.processes)
                except _CannotJudgeError:
                    continue
            if worker.incarnation not in self._gone and self._all_gone(worker.incarnation):
                self._gone.add(worker.incarnation)
        for incarnation in [it for it in self._watched if it not in seen]:
            self._forget(incarnation)
        return self._gone & seen

    def can_judge(self, incarnation: str) -> bool:
        """Return whether the last call of ``dead`` saw if a node's processes had ended."""
        return incarnation in self._watched

    def close(self) -> None:
        """Close all pidfds."""
        for incarnation in list(self._watched):
            self._forget(incarnation)

    @staticmethod
    def _is_near(worker: WorkerView) -> bool:
        """Return whether a node's pids mean the same processes here."""
        here = (boot_id(), pid_namespace())
        return all(here) and here == (worker.boot_id, worker.pid_namespace)

    def _all_gone(self, incarnation: str) -> bool:
        return all(_has_ended(it) for it in self._watched[incarnation])

    def _forget(self, incarnation: str) -> None:
        for descriptor in self._watched.pop(incarnation):
            os.close(descriptor)
        self._gone.discard(incarnation)


def _open_all(processes: str) -> list[int]:
    """Return pidfds of those processes that may still run.

    Raises _CannotJudgeError when one cannot be seen, and for a text that is not
    ``pid:start,…``.
    """
    opened: list[int] = []
    try:
        for process in processes.split(","):
            pid, _, started = process.partition(":")
            if not (pid.isascii() and pid.isdecimal() and 0 < int(pid) < 2**31 and started):
                raise _CannotJudgeError
            descriptor = _open(int(pid), started)
            if descriptor is not None:
                opened.append(descriptor)
    except BaseException:
        for descriptor in opened:
            os.close(descriptor)
        raise
    return opened


def _open(pid: int, started: str) -> int | None:
    """Return a process's pidfd; None when it has ended.

    Raises _CannotJudgeError when that cannot be seen.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    except (OSError, AttributeError):  # EPERM, ENOSYS, EMFILE, or no such call here
        raise _CannotJudgeError from None
    # Compared after the open: from now on the pidfd refers to this process.
    found = _started(pid)
    if found == started:
        return descriptor
    ended = bool(found) or _has_ended(descriptor)  # another process has the pid, or none
    os.close(descriptor)
    if ended:
        return None
    raise _CannotJudgeError


def _has_ended(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return any(event & select.POLLIN for _, event in poll.poll(0))


def _started(pid: int) -> str:
    """Return when a process started, in clock ticks since boot; "" if it cannot be read."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else ""
