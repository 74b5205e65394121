"""What a plug-in's process leaves behind: files on the disk, and processes that left its group."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

_MOST_ROUNDS = 5
"""What is killed may have started another one since it was looked for."""


def bytes_within(directory: Path, most: int) -> int:
    """Return the bytes on the disk of what lies in a directory; counting ends beyond ``most``."""
    total = 0
    for folder, folders, files in os.walk(directory):
        for it in (*folders, *files):
            with suppress(OSError):
                about = os.lstat(f"{folder}/{it}")
                total += max(about.st_blocks * 512, 512)
        if total > most:
            break
    return total


def kill_those_of(directory: Path) -> None:
    """Kill the processes whose ``TMPDIR`` is a directory, as that of a plug-in's process is.

    Those that have left its group are found by that; where there is no /proc, none are.
    """
    for _ in range(_MOST_ROUNDS):
        found = _those_of(os.fsencode(f"TMPDIR={directory}"))
        if not found:
            return
        for it in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(it, signal.SIGKILL)


def _those_of(variable: bytes) -> list[int]:
    found: list[int] = []
    with suppress(OSError), os.scandir("/proc") as entries:
        for it in entries:
            if not it.name.isdigit():
                continue
            with suppress(OSError):
                if variable in Path(f"/proc/{it.name}/environ").read_bytes().split(b"\0"):
                    found.append(int(it.name))
    return [it for it in found if it != os.getpid()]


def remove(directory: Path) -> None:
    """Remove a directory, whatever lies in it; what cannot be removed stays."""
    import shutil  # the process of a plug-in needs none of it

    with suppress(OSError, RecursionError):
        directory.chmod(0o700)
        for folder, folders, _ in os.walk(directory):
            for it in folders:  # one that cannot be read could not be emptied
                with suppress(OSError):
                    path = Path(folder, it)
                    if not path.is_symlink():
                        path.chmod(0o700)
    with suppress(RecursionError):
        shutil.rmtree(directory, ignore_errors=True)
