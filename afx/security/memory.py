"""Keeps the memory of a process that has keys out of files and of other processes."""

from __future__ import annotations

import ctypes
import resource

_PR_SET_DUMPABLE = 4


def protect_memory() -> None:
    """Let this process write no core dump, and no other one of this user read its memory.

    Both are needed: a kernel that pipes core dumps to a program ignores the limit. A
    process that is executed afterwards inherits the limit only, and calls this itself.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
