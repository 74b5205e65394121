"""Where files of plug-ins lie: a directory of this process, which the next one removes if need be.

It lies in the system's directory for temporary files (``TMPDIR``), readable for nobody else, and
is locked as long as its process lives: what a killed one has left is known by that.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

from afx.plugins.leftovers import remove

_LOCK, _NEW = "lock", "new-lock"
_YOUNG_SECONDS = 60.0
"""A directory without a lock may be that of a process which has not made it yet."""


class Spool:
    """The directories and files of one process; its functions block, and belong on threads."""

    def __init__(self, within: Path | None = None) -> None:
        """Make the directory, in ``within``, and remove those of processes that are gone."""
        parent = within or Path(tempfile.gettempdir())
        prefix = f"afx-plugins-{os.getuid()}-"
        for it in _left(parent, prefix):
            remove(it)
        self.root = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        lock = os.open(self.root / _NEW, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        (self.root / _NEW).rename(self.root / _LOCK)  # nobody sees it without its lock
        self._end = weakref.finalize(self, _remove, self.root, lock)

    def directory(self) -> Path:
        """Return a new directory for one message."""
        return Path(tempfile.mkdtemp(dir=self.root))

    def adopt(self, path: Path) -> Path:
        """Move a file out of a message's directory, which is then removed alone."""
        descriptor, made = tempfile.mkstemp(dir=self.root)
        os.close(descriptor)
        try:
            return path.replace(made)
        except OSError:
            Path(made).unlink()
            raise

    def close(self) -> None:
        """Remove everything."""
        self._end()


def _left(parent: Path, prefix: str) -> Iterator[Path]:
    """Return the directories of processes that are gone."""
    for it in parent.glob(f"{prefix}*"):
        try:
            about = it.lstat()
        except OSError:
            continue
        if about.st_uid != os.getuid() or not stat.S_ISDIR(about.st_mode):
            continue
        try:
            lock = os.open(it / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            if time.time() - about.st_mtime >= _YOUNG_SECONDS:
                yield it
            continue
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
    remove(root)
    os.close(lock)
