"""Several processes of the API at one address: they share the socket that listens.

Each has its own threads, its own reader of the events and its own rate limits. The parent
serves nothing: it starts them, starts one again that has ended, and ends them all.
"""

from __future__ import annotations

import pickle
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog

from afx.api.generations import size_of
from afx.config import Settings, make_home
from afx.errors import AfxError

_LOOK_SECONDS = 0.1
_AGAIN_SECONDS = 0.5
_EARLY_SECONDS = 5.0
_MOST_EARLY_ENDS = 5
_STOP_SECONDS = 4.0
_MESSAGES = "api-messages"
_COMMAND = (sys.executable, "-m", "afx.api.worker_process")

log = structlog.get_logger()


@dataclass(slots=True, frozen=True)
class Work:
    """What a process needs from its parent; it comes through a pipe."""

    settings: Settings
    socket: int
    """The descriptor of the socket that listens."""
    behind_proxy: bool
    tls: dict[str, Any]
    messages: Path
    """The directory of what actions said."""
    messages_key: bytes = field(repr=False)
    generations: int
    """The descriptor of the memory in which they count changes."""
    place: int = 0
    """Of this process in it, of ``settings.web_workers``."""


def run(
    settings: Settings, listening: socket.socket, *, behind_proxy: bool, tls: dict[str, Any]
) -> None:
    """Serve by ``settings.web_workers`` processes until SIGINT or SIGTERM.

    Raises AfxError when they end again and again as soon as they are started.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    # In the home: what cleans up directories of temporary files must not take it away.
    make_home(settings.home)
    directory = settings.home / _MESSAGES
    key = secrets.token_bytes(32)
    with tempfile.TemporaryFile() as shared:
        shared.truncate(size_of(settings.web_workers))
        work = Work(
            settings, listening.fileno(), behind_proxy, tls, directory, key, shared.fileno()
        )
        _serve(work, stop)


def _serve(work: Work, stop: threading.Event) -> None:
    running: list[_Started] = []
    try:
        for place in range(work.settings.web_workers):
            running.append(_start(work, place))
        early = 0
        while not stop.wait(_LOOK_SECONDS):
            for place, it in enumerate(running):
                code = it.process.poll()
                if code is None:
                    continue
                early = early + 1 if time.monotonic() - it.at < _EARLY_SECONDS else 0
                log.warning("api_process_ended", code=code)
                if early >= _MOST_EARLY_ENDS:
                    raise AfxError(
                        "The processes of the API end as soon as they are started; the log says "
                        "why."
                    )
                if stop.wait(_AGAIN_SECONDS):
                    break
                running[place] = _start(work, place)
    finally:
        _end(running)


@dataclass(slots=True, frozen=True)
class _Started:
    process: subprocess.Popen[bytes]
    at: float


def _start(work: Work, place: int) -> _Started:
    given = (work.socket, work.generations)
    process = subprocess.Popen(_COMMAND, stdin=subprocess.PIPE, pass_fds=given)
    assert process.stdin is not None
    # The pipe stays open: its end tells the process that its parent is gone.
    process.stdin.write(pickle.dumps(replace(work, place=place)))
    process.stdin.flush()
    return _Started(process, time.monotonic())


def _end(running: list[_Started]) -> None:
    until = time.monotonic() + _STOP_SECONDS
    for it in running:
        it.process.terminate()
    for it in running:
        try:
            it.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            it.process.kill()
            it.process.wait()
        assert it.process.stdin is not None
        it.process.stdin.close()
