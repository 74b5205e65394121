"""A lock on a home: one `afx up`, and one sandbox, at a time.

The kernel releases the lock when its process ends, whatever ended it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from afx.errors import UsageError


@contextlib.contextmanager
def home_lock(home: Path, name: str, command: str) -> Iterator[None]:
    """Hold ``home/NAME.lock`` for the block.

    Raises UsageError, which names ``command`` and the process that holds the
    lock, when another process holds it.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (home / f"{name}.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UsageError(
                f"'{command}' is already running in {home} (process {_holder(file.read(20))}); "
                "end it first, or set AFX_HOME to another directory."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _holder(text: str) -> str:
    """Return the process id in a lock file; between the lock and the write it has none."""
    return text.strip() if text.strip().isdigit() else "unknown"
