"""A short directory for the socket of a home whose path is too long for one.

A unix socket's path has at most 107 bytes. The short directory lies in a place
that other users can write to, so it is used only when it is a directory that
belongs to this user alone. The home remembers which directory was chosen:
commands find the same socket, whatever their environment says.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from pathlib import Path

from afx.errors import ConfigError

PATH_LIMIT = 100
"""Bytes of a socket's path; some systems allow no more than 103."""
_LINK = "socket-directory"
"""A symbolic link in the home's Redis directory that leads to the chosen directory."""


def short_directory(home: Path) -> Path:
    """Return the directory that the home remembers, or the one it would choose now.

    Nothing is created. Raises ConfigError when another user could have made it.
    """
    remembered = _remembered(home)
    if remembered is not None and remembered.is_dir() and is_private(remembered):
        return remembered
    chosen = _choose(home)
    check_private(chosen)
    return chosen


def create_short_directory(home: Path) -> Path:
    """Create the directory with mode 0700, and let the home remember it.

    Raises ConfigError when it exists and does not belong to this user alone.
    """
    path = short_directory(home)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    check_private(path)
    if _remembered(home) != path:
        link = home / "redis" / _LINK
        link.unlink(missing_ok=True)
        link.symlink_to(path)
    return path


def is_private(path: Path) -> bool:
    """Return whether a path is absent, or a directory of this user alone."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return True
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.geteuid()
        and not stat.S_IMODE(found.st_mode) & 0o077
    )


def check_private(path: Path) -> None:
    """Raise ConfigError unless ``is_private``."""
    if not is_private(path):
        raise ConfigError(
            f"{path} is not a directory of this user alone (mode 0700), so the private Redis "
            "cannot listen there; correct it ('chmod 700') or remove it, or set another AFX_HOME."
        )


def _remembered(home: Path) -> Path | None:
    try:
        return (home / "redis" / _LINK).readlink()
    except OSError:
        return None


def _choose(home: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(home.absolute())).hexdigest()[:16]
    runtime = _runtime_directory()
    if runtime is not None:
        chosen = runtime / f"afx-{digest}"
        if len(os.fsencode(chosen / "redis.sock")) <= PATH_LIMIT:
            return chosen
    return Path(tempfile.gettempdir()) / f"afx-{os.geteuid()}-{digest}"


def _runtime_directory() -> Path | None:
    """Return XDG_RUNTIME_DIR when it is set and belongs to this user alone."""
    path = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    return path if path.is_absolute() and path.is_dir() and is_private(path) else None
