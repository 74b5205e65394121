"""What the processes of a node use, and what they may use."""

from __future__ import annotations

import psutil

from afx.node import cgroup

_CPU_WEIGHT = 0.2
"""Weight of one sample: the result is the load of the last seconds."""


class Resources:
    """Samples the processes of one node."""

    def __init__(self, pids: list[int], ram_limit: int) -> None:
        """``ram_limit`` is in bytes; 0 means all that the machine or cgroup has."""
        self._processes = [psutil.Process(pid) for pid in pids]
        self._limit = ram_limit
        self._cpu = 0.0
        for process in self._processes:
            process.cpu_percent()  # the first call only sets the base

    def sample(self) -> tuple[int, int, int, float]:
        """Return (RSS, free bytes, limit in bytes, smoothed CPU share of the machine)."""
        rss = 0
        cpu = 0.0
        for process in self._processes:
            try:
                rss += process.memory_info().rss
                cpu += process.cpu_percent()
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
            free = min(free, self._limit - rss)
        share = cpu / 100 / (psutil.cpu_count() or 1)
        self._cpu += _CPU_WEIGHT * (share - self._cpu)
        return rss, max(0, free), limit, self._cpu
