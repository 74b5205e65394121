"""Checks of the home: it can be written, has room, and is its owner's alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from afx.config import Settings, config_file
from afx.local import private_redis
from afx.operations.findings import Finding

_MIB = 1024 * 1024
_LITTLE_SPACE = 1024 * _MIB
_NO_SPACE = 64 * _MIB
_OTHERS = 0o077
_SECRETS = ("secret_key", "api_hash", "redis_url", "database_url")


def check_home(settings: Settings) -> Iterator[Finding]:
    """Check the home, the settings file, and the directory of the private Redis."""
    home = settings.home
    if not home.is_dir():
        missing = not home.exists()
        yield Finding(
            "home",
            "warn" if missing else "fail",
            f"{home} {'does not exist yet' if missing else 'is not a directory'}",
            "the first change makes it" if missing else "set AFX_HOME to a directory",
        )
        yield from _settings_file()
        return
    yield from _writable(home)
    yield from _space(home)
    yield from _private(home)
    yield from _settings_file()
    if not settings.redis_url:
        yield from _socket_directory(home)


def _writable(home: Path) -> Iterator[Finding]:
    if os.access(home, os.W_OK | os.X_OK):
        yield Finding("home", "ok", f"{home} can be written")
        return
    yield Finding(
        "home",
        "fail",
        f"{home} cannot be written: it belongs to another account, or its file system is read-only",
        f"chown or remount it, or set AFX_HOME (this account is {os.geteuid()})",
    )


def _space(home: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(home).free
    inodes = os.statvfs(home)
    if inodes.f_files and not inodes.f_favail:
        yield Finding("home", "fail", "its disk takes no more files", "remove files from it")
    if free > _LITTLE_SPACE:
        yield Finding("home", "ok", f"{free // _MIB} MiB are free on its disk")
        return
    yield Finding(
        "home",
        "fail" if free < _NO_SPACE else "warn",
        f"only {free // _MIB} MiB are free on its disk",
        "make room: on a full disk the database and the private Redis stop writing",
    )


def _private(home: Path) -> Iterator[Finding]:
    if not home.stat().st_mode & _OTHERS:
        yield Finding("home", "ok", "only its owner may enter it")
        return
    # In a private home the modes of the files do not matter.
    yield Finding("home", "warn", f"other accounts may enter {home}", f"chmod 700 {home}")
    for path in sorted(home.iterdir()):
        if path.is_file() and path.name != "secret.key" and path.stat().st_mode & _OTHERS:
            yield Finding(
                "home", "warn", f"{path} may be read by other accounts", f"chmod 600 {path}"
            )


def _settings_file() -> Iterator[Finding]:
    path = config_file()
    if path is None or not path.stat().st_mode & _OTHERS:
        return
    lines = path.read_text().splitlines()
    if any(line.split("=")[0].strip() in _SECRETS for line in lines):
        yield Finding(
            "home",
            "warn",
            f"{path} may hold secrets, and other accounts may read it",
            f"chmod 600 {path}",
        )


def _socket_directory(home: Path) -> Iterator[Finding]:
    path = private_redis.socket_path(home).parent
    if not path.exists():
        return
    found = path.stat()
    if found.st_uid != os.geteuid() and os.geteuid() != 0:
        yield Finding(
            "home",
            "fail",
            f"{path}, where the private Redis listens, belongs to another account",
            "remove it, or set AFX_HOME to a shorter path",
        )
    elif found.st_mode & _OTHERS:
        yield Finding(
            "home",
            "fail",
            f"other accounts may enter {path}, where the private Redis listens",
            f"chmod 700 {path}",
        )
