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

from afx.cluster.registry import WorkerView


@cache
def boot_id() -> str:
    """Return this boot's id."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@cache
def pid_namespace() -> str:
    """Return the name of this process's pid namespace."""
    return str(Path("/proc/self/ns/pid").readlink())


def describe(pids: Iterable[int]) -> str:
    """Return ``pid:start,…``, which identifies processes although pids are reused."""
    return ",".join(f"{pid}:{_started(pid)}" for pid in pids)


class Witness:
    """Holds a pidfd for each process of the nodes on this machine."""

    def __init__(self) -> None:
        self._watched: dict[str, list[int]] = {}
        self._gone: set[str] = set()

    def dead(self, workers: Iterable[WorkerView]) -> set[str]:
        """Return the incarnations of these nodes whose processes have all ended."""
        seen: set[str] = set()
        for worker in workers:
            if worker.boot_id != boot_id() or worker.pid_namespace != pid_namespace():
                continue
            seen.add(worker.incarnation)
            if worker.incarnation not in self._watched:
                self._watch(worker.incarnation, worker.processes)
            if worker.incarnation not in self._gone and self._all_gone(worker.incarnation):
                self._gone.add(worker.incarnation)
        for incarnation in [it for it in self._watched if it not in seen]:
            self._forget(incarnation)
        return self._gone & seen

    def close(self) -> None:
        """Close all pidfds."""
        for incarnation in list(self._watched):
            self._forget(incarnation)

    def _watch(self, incarnation: str, processes: str) -> None:
        opened: list[int] = []
        for process in processes.split(","):
            pid, _, started = process.partition(":")
            try:
                descriptor = os.pidfd_open(int(pid))
            except ProcessLookupError:
                continue
            # Compared after the open: from now on the pidfd refers to this process.
            if _started(int(pid)) == started:
                opened.append(descriptor)
            else:
                os.close(descriptor)
        self._watched[incarnation] = opened

    def _all_gone(self, incarnation: str) -> bool:
        poll = select.poll()
        descriptors = self._watched[incarnation]
        for descriptor in descriptors:
            poll.register(descriptor, select.POLLIN)
        return len(poll.poll(0)) == len(descriptors)

    def _forget(self, incarnation: str) -> None:
        for descriptor in self._watched.pop(incarnation):
            os.close(descriptor)
        self._gone.discard(incarnation)


def _started(pid: int) -> str:
    """Return when a process started, in clock ticks since boot; "" if it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]
