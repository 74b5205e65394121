"""A process and all processes below it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import psutil


def process_tree(pid: int) -> list[psutil.Process]:
    """Return the process and its descendants, the process itself first.

    Raises psutil.NoSuchProcess when the process is gone.
    """
    top = psutil.Process(pid)
    return [top, *top.children(recursive=True)]


def kill(processes: Iterable[psutil.Process]) -> None:
    """Send SIGKILL to the processes that still exist."""
    for it in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            it.kill()


def suspend(processes: Iterable[psutil.Process]) -> None:
    """Send SIGSTOP to the processes that still exist."""
    for it in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            it.suspend()


def resume(processes: Iterable[psutil.Process]) -> None:
    """Send SIGCONT to the processes that still exist."""
    for it in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            it.resume()
