"""The coordinators, nodes and API of one cluster, as child processes of this one."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from afx.config import Settings
from afx.local import process_tree

Role = Literal["coordinator", "node", "api"]
_STOP_SECONDS = 30.0
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def die_with_parent() -> None:
    """Let the kernel end this process when its parent dies; run in the child.

    Other systems than Linux cannot do so.
    """
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def node_names(count: int, *, first: int = 1) -> list[str]:
    """Return ``w1``, ``w2``, … for so many nodes."""
    return [f"w{number}" for number in range(first, first + count)]


@dataclass(slots=True, frozen=True)
class Child:
    """One child process, with what it takes to start it again."""

    name: str
    role: Role
    command: tuple[str, ...]
    redis_url: str
    process: subprocess.Popen[bytes]
    started_at: float
    """Monotonic seconds."""

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def exit_code(self) -> int | None:
        """Return how the process ended: negative for a signal, None while it runs."""
        return self.process.poll()


class LocalProcesses:
    """Starts, kills and stops the processes of a cluster; ``children`` holds those started.

    A child that ended stays in ``children`` until it is started again or removed.
    """

    def __init__(
        self,
        settings: Settings,
        redis_url: str,
        *,
        log: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """``log`` takes the children's logs instead of standard error.

        ``variables`` are further ``AFX_…`` variables for the children.
        """
        self._environment = {
            **os.environ,
            "AFX_HOME": str(settings.home.absolute()),
            "AFX_REDIS_URL": redis_url,
            "AFX_DATABASE_URL": settings.database,
            **(variables or {}),
        }
        self._log = log
        self.children: dict[str, Child] = {}

    def start_coordinator(self, name: str = "coordinator", *, redis_url: str = "") -> None:
        """Start a coordinator; ``redis_url`` is its own way to the cluster's Redis."""
        self._start(name, "coordinator", self._afx("coordinator", "start"), redis_url)

    def start_api(self, port: int, name: str = "api") -> None:
        """Start the REST API with the dashboard at a port."""
        self._start(name, "api", self._afx("api", "start", "--port", str(port)), "")

    def start_node(
        self, name: str, *flags: str, redis_url: str = "", enter: Sequence[str] = ()
    ) -> None:
        """Start a node of that name; ``flags`` are those of ``afx worker start``.

        ``enter`` is a command that runs the node elsewhere, such as in a namespace.
        """
        command = self._afx("worker", "start", "--name", name, *flags)
        self._start(name, "node", (*enter, *command), redis_url)

    def start_nodes(self, count: int, *flags: str, first: int = 1) -> list[str]:
        """Start so many nodes, from ``w<first>`` on; returns their names."""
        names = node_names(count, first=first)
        for name in names:
            self.start_node(name, *flags)
        return names

    def start_unnamed_node(self) -> None:
        """Start a node that chooses its own name."""
        self._start("unnamed", "node", self._afx("worker", "start"), "")

    def run(self, *words: str) -> subprocess.Popen[bytes]:
        """Start ``afx`` with some arguments, as a child that is not one of the cluster's."""
        return subprocess.Popen(
            self._afx(*words),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            stderr=sys.stderr,
            preexec_fn=die_with_parent,  # noqa: PLW1509
        )

    def restart(self, name: str) -> None:
        """Start a child that ended as it was started before."""
        child = self.children[name]
        self._start(name, child.role, child.command, child.redis_url)

    def nodes(self) -> list[str]:
        """Return the names of the children that are nodes."""
        return [it.name for it in self.children.values() if it.role == "node"]

    def terminate(self, name: str) -> None:
        """Send SIGTERM to a child."""
        self.children[name].process.terminate()

    def wait_for_end(self, name: str, seconds: float = 20.0) -> int:
        """Wait until a child has ended, and remove it; returns its exit code."""
        code = self.children[name].process.wait(seconds)
        del self.children[name]
        return code

    def kill(self, name: str) -> float:
        """SIGKILL a child, and leave those below it; returns the monotonic time of it."""
        child = self.children.pop(name)
        killed_at = time.monotonic()
        child.process.kill()
        child.process.wait()
        return killed_at

    def kill_tree(self, name: str) -> float:
        """SIGKILL a child and all below it; returns the monotonic time of it."""
        tree = process_tree.process_tree(self.children[name].pid)
        child = self.children.pop(name)
        killed_at = time.monotonic()
        process_tree.kill(tree)
        child.process.wait()
        return killed_at

    def stop(self) -> None:
        """End all: the nodes first, so that the coordinator learns of it."""
        for role in ("api", "node", "coordinator"):
            chosen = [it.process for it in self.children.values() if it.role == role]
            for process in chosen:
                if process.poll() is None:
                    process.terminate()
            until = time.monotonic() + _STOP_SECONDS
            for process in chosen:
                try:
                    process.wait(max(0.1, until - time.monotonic()))
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self.children.clear()

    def _afx(self, *words: str) -> tuple[str, ...]:
        return (sys.executable, "-m", "cli.main", *words)

    def _start(self, name: str, role: Role, command: tuple[str, ...], redis_url: str) -> None:
        environment = self._environment
        if redis_url:
            environment = environment | {"AFX_REDIS_URL": redis_url}
        output = self._log.open("ab") if self._log else None
        try:
            process = subprocess.Popen(
                command,
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
        self.children[name] = Child(name, role, command, redis_url, process, time.monotonic())
