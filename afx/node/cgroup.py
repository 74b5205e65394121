"""The memory limit of the cgroup that a process is in, and of those above it.

A service unit's ``MemoryMax`` or a container's limit is set on the process's own cgroup or
on one above it; the root has none. Sources: cgroup-v2 (docs.kernel.org), "memory.max",
"memory.high", "memory.stat"; cgroup v1, "memory.limit_in_bytes".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_V1_UNLIMITED = 2**60
"""Version 1 says "no limit" as a number near 2**63, rounded to pages."""


def memory(
    pid: int | str = "self", *, proc: Path = Path("/proc"), mount: Path = Path("/sys/fs/cgroup")
) -> tuple[int, int] | None:
    """Return (limit, free) of a process in bytes; None without a limit.

    Both are those of the tightest cgroup on the way up. Page cache that can be dropped
    counts as free, as in Kubernetes' working set.
    """
    try:
        text = (proc / str(pid) / "cgroup").read_text()
    except OSError:
        return None
    found = [it for folder in _folders(text, mount) if (it := _limit_and_free(folder)) is not None]
    if not found:
        return None
    return min(limit for limit, _ in found), max(0, min(free for _, free in found))


def _folders(text: str, mount: Path) -> Iterator[Path]:
    """Yield the folders of a process's memory cgroup and of those above it."""
    for line in text.splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0" and not controllers:
            root = mount
        elif "memory" in controllers.split(","):
            root = mount / "memory"
        else:
            continue
        parts = [it for it in path.split("/") if it and it != ".."]
        for count in range(len(parts), -1, -1):
            yield root.joinpath(*parts[:count])


def _limit_and_free(folder: Path) -> tuple[int, int] | None:
    limits = [
        limit
        for name in ("memory.max", "memory.high", "memory.limit_in_bytes")
        if (limit := _number(folder / name)) is not None and limit < _V1_UNLIMITED
    ]
    if not limits:
        return None
    limit = min(limits)
    used = _number(folder / "memory.current")
    if used is None:
        used = _number(folder / "memory.usage_in_bytes")
    if used is None:
        return None
    return limit, limit - max(0, used - _droppable(folder))


def _droppable(folder: Path) -> int:
    """Return the bytes of page cache that the kernel drops first."""
    try:
        lines = (folder / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    for line in lines:
        name, _, value = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file") and value.isdecimal():
            return int(value)
    return 0


def _number(path: Path) -> int | None:
    """Return the number in a file; None when there is none, or it says ``max``."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isascii() and text.isdecimal() else None
