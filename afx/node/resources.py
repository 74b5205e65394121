"""What a host process of a node uses, and what it may use.

The processes of a node share its machine: each may use an equal part of it, and has an equal
part of what the supervisor uses.
"""

from __future__ import annotations

import psutil

from afx.node import cgroup

_CPU_WEIGHT = 0.2
"""Weight of one sample: the result is the load of the last seconds."""


class Resources:
    """Samples one host process, with its part of the supervisor."""

    def __init__(self, supervisor: int, host: int, ram_limit: int, *, processes: int = 1) -> None:
        """``supervisor`` and ``host`` are pids, 0: none.

        ``ram_limit`` is the node's, in bytes; 0 means all that the machine or cgroup has.
        ``processes`` is how many share it.
        """
        self._parts = [
            (psutil.Process(pid), share)
            for pid, share in ((host, 1.0), (supervisor, 1 / processes))
            if pid
        ]
        self._limit = ram_limit
        self._processes = processes
        self._cpu = 0.0
        for process, _ in self._parts:
            process.cpu_percent()  # the first call only sets the base

    def sample(self) -> tuple[int, int, int, float]:
        """Return (RSS, free bytes, limit in bytes, smoothed CPU share of its part)."""
        rss = 0.0
        cpu = 0.0
        for process, share in self._parts:
            try:
                rss += process.memory_info().rss * share
                cpu += process.cpu_percent() * share
            except psutil.NoSuchProcess:
                continue
        memory = psutil.virtual_memory()
        limit, free = memory.total, memory.available
        bounds = cgroup.memory()
        if bounds:
            limit = min(limit, bounds[0])
            free = min(free, bounds[1])
        if self._limit:
            limit = min(limit, self._limit)
        limit, free = limit // self._processes, free // self._processes
        if self._limit:
            free = min(free, limit - int(rss))
        part = cpu / 100 / (psutil.cpu_count() or 1) * self._processes
        self._cpu += _CPU_WEIGHT * (part - self._cpu)
        return int(rss), max(0, free), limit, self._cpu
