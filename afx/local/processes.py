"""Runs afx's own processes on this machine: for ``afx up``, demo and benchmarks."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from afx.config import Settings
from afx.errors import AfxError

_STOP_SECONDS = 30.0
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def die_with_parent() -> None:
    """Let the kernel end this process when its parent dies; run in the child."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Fleet:
    """A coordinator and worker nodes as child processes."""

    def __init__(
        self,
        settings: Settings,
        redis_url: str,
        *,
        log: Path | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        """``log`` takes the children's logs instead of standard error.

        ``extra`` are further ``AFX_…`` variables for the children.
        """
        self._environment = {
            **os.environ,
            "AFX_HOME": str(settings.home.absolute()),
            "AFX_REDIS_URL": redis_url,
            "AFX_DATABASE_URL": settings.database,
            **(extra or {}),
        }
        self._log = log
        self._stopping = threading.Event()
        self.children: dict[str, subprocess.Popen[bytes]] = {}

    def start_coordinator(self, name: str = "coordinator", *, redis_url: str = "") -> None:
        """Start a coordinator; ``redis_url`` is its own way to the cluster's Redis."""
        self._start(name, redis_url, "coordinator", "start")

    def start_worker(
        self, name: str, *flags: str, redis_url: str = "", enter: Sequence[str] = ()
    ) -> None:
        """Start a worker node of that name; ``redis_url`` as for a coordinator.

        ``enter`` is a command that runs the node elsewhere, such as in a namespace.
        """
        self._start(name, redis_url, "worker", "start", "--name", name, *flags, enter=enter)

    def wait(self) -> None:
        """Wait until SIGINT or SIGTERM; raises AfxError when a child breaks first.

        A node that an operator told to stop is no such thing.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._stopping.set())
        while not self._stopping.wait(0.3):
            for name, child in list(self.children.items()):
                if child.poll() == 0 and not name.startswith("coordinator"):
                    del self.children[name]
                elif child.poll() is not None:
                    raise AfxError(
                        f"The process '{name}' ended with exit code {child.returncode}; "
                        "see its log above."
                    )

    def stop(self) -> None:
        """End all: the nodes first, so that the coordinator hears of it."""
        for coordinators in (False, True):
            chosen = [
                child
                for name, child in self.children.items()
                if name.startswith("coordinator") is coordinators
            ]
            for child in chosen:
                if child.poll() is None:
                    child.terminate()
            until = time.monotonic() + _STOP_SECONDS
            for child in chosen:
                try:
                    child.wait(max(0.1, until - time.monotonic()))
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
        self.children.clear()

    def kill_tree(self, name: str) -> float:
        """SIGKILL a child and all below it; returns the monotonic time of it."""
        child = self.children.pop(name)
        tree = [child.pid, *(it.pid for it in psutil.Process(child.pid).children(recursive=True))]
        at = time.monotonic()
        for pid in tree:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # died with its parent
        child.wait()
        return at

    def _start(self, name: str, redis_url: str, *command: str, enter: Sequence[str] = ()) -> None:
        environment = self._environment
        if redis_url:
            environment = environment | {"AFX_REDIS_URL": redis_url}
        output = self._log.open("ab") if self._log else None
        try:
            self.children[name] = subprocess.Popen(
                [*enter, sys.executable, "-m", "cli.main", *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stderr=output,
                stdout=output or sys.stderr,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509
            )
        finally:
            if output:
                output.close()
