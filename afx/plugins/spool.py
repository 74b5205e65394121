"""Where files of plug-ins lie: a directory of this process, which the next one removes if need be.

It lies in the system's directory for temporary files (``TMPDIR``), readable for nobody else, and
is locked as long as its process lives: what a killed one has left is known by that.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

_LOCK = "lock"
_YOUNG_SECONDS = 60.0
"""A directory may be that of a process which has not locked it yet."""


class Spool:
    """The directories and files of one process; its functions block, and belong on threads."""

    def __init__(self, within: Path | None = None) -> None:
        """Make the directory, in ``within``, and remove those of processes that are gone."""
        parent = within or Path(tempfile.gettempdir())
        prefix = f"afx-plugins-{os.getuid()}-"
        for it in _left(parent, prefix):
            shutil.rmtree(it, ignore_errors=True)
        self.root = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        lock = os.open(self.root / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        self._end = weakref.finalize(self, _remove, self.root, lock)

    def directory(self) -> Path:
        """Return a new directory for one message."""
        return Path(tempfile.mkdtemp(dir=self.root))

    def adopt(self, path: Path) -> Path:
        """Move a file out of a message's directory, which is then removed alone."""
        descriptor, made = tempfile.mkstemp(dir=self.root)
        os.close(descriptor)
        return path.replace(made)

    def close(self) -> None:
        """Remove everything."""
        self._end()


def _left(parent: Path, prefix: str) -> Iterator[Path]:
    """Return the directories of processes that are gone."""
    for it in parent.glob(f"{prefix}*"):
        try:
            about = it.lstat()
            if about.st_uid != os.getuid() or time.time() - about.st_mtime < _YOUNG_SECONDS:
                continue
            lock = os.open(it / _LOCK, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield it
        except OSError:
            continue
        finally:
            os.close(lock)


def _remove(root: Path, lock: int) -> None:
    shutil.rmtree(root, ignore_errors=True)
    os.close(lock)
