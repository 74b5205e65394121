"""How many CPU cores a process may use.

Sources: sched_getaffinity(2); cgroup-v2 (docs.kernel.org), "cpu.max"; cgroup v1,
"cpu.cfs_quota_us".
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def usable(*, proc: Path = Path("/proc"), mount: Path = Path("/sys/fs/cgroup")) -> int:
    """Return how many cores this process may use: at least 1.

    A part of a core that a cgroup's quota allows counts as none.
    """
    most = len(os.sched_getaffinity(0))
    return max(1, min((most, *(int(it) for it in _quotas(proc, mount)))))


def _quotas(proc: Path, mount: Path) -> Iterator[float]:
    """Yield the quotas, in cores, of this process's cgroup and of those above it."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0" and not controllers:
            root, version = mount, 2
        elif "cpu" in controllers.split(","):
            root, version = mount / "cpu", 1
        else:
            continue
        parts = [it for it in path.split("/") if it and it != ".."]
        for count in range(len(parts), -1, -1):
            quota = _quota(root.joinpath(*parts[:count]), version)
            if quota is not None:
                yield quota


def _quota(folder: Path, version: int) -> float | None:
    try:
        if version == 2:
            quota, _, period = (folder / "cpu.max").read_text().strip().partition(" ")
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
    except OSError:
        return None
    if not (quota.isascii() and quota.isdecimal() and period.isascii() and period.isdecimal()):
        return None  # "max", or -1: no limit
    return int(quota) / int(period) if int(period) else None
