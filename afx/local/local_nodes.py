"""The provider of nodes on this machine: child processes, drained before they are stopped.

The kernel ends them when their parent dies: however that happens, no node is left over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from enum import Enum
from typing import Protocol

from afx.local.processes import LocalProcesses

PREFIX = "auto"
"""Names of our nodes are ``auto1``, ``auto2``, …: no others are ever stopped."""
_DRAIN_SECONDS = 300.0
_COMMAND_SECONDS = 60.0
_END_SECONDS = 40.0
_STABLE_SECONDS = 60.0
_FIRST_DELAY_SECONDS = 1.0
_LONGEST_DELAY_SECONDS = 60.0
_MOST_DOUBLINGS = 16
"""A float has no more than 1,023."""


class Running(Protocol):
    """A command that runs."""

    def poll(self) -> int | None:
        """Return its exit code; None while it runs."""

    def kill(self) -> None:
        """End it."""


class Phase(Enum):
    """How far the stop of a node is."""

    DRAINING = "draining"
    ENDING = "ending"
    REMOVING = "removing"
    KEEPING = "keeping"
    """The drain was not possible, or is not wanted any more."""


class LocalNodes:
    """Nodes on this machine, beside those that ``afx up`` always runs."""

    def __init__(
        self,
        processes: LocalProcesses,
        *,
        notify: Callable[[str], None],
        run: Callable[..., Running] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``run`` starts ``afx`` with arguments; ``now`` is in monotonic seconds."""
        self._processes = processes
        self._notify = notify
        self._run = run or self._afx
        self._now = now
        self._names: set[str] = set()
        self._started_at: dict[str, float] = {}
        self._early_ends = 0
        self._not_before = 0.0
        self._stopping = ""
        self._phase = Phase.DRAINING
        self._phase_until = 0.0
        self._command: Running | None = None

    def nodes(self) -> frozenset[str]:
        """Return the nodes that run or start, without one that is being stopped."""
        gone = {self._stopping} if self._phase is not Phase.KEEPING else set()
        return frozenset(self._names - gone)

    def starting(self, live: Collection[str]) -> int:
        """Return how many nodes run here that have not registered yet."""
        return len(set(self._processes.nodes()) - {*live, self._stopping})

    def is_stopping(self) -> bool:
        """Return whether a node is being stopped, or is on its way back."""
        return bool(self._stopping)

    def start(self, taken: Collection[str]) -> bool:
        """Start a node; False for a while after nodes have failed."""
        if self._now() < self._not_before:
            return False
        used = {*taken, *self._names, *self._processes.children}
        number = next(it for it in range(1, len(used) + 2) if f"{PREFIX}{it}" not in used)
        name = f"{PREFIX}{number}"
        try:
            self._processes.start_node(name)
        except OSError as error:
            self._not_before = self._now() + _LONGEST_DELAY_SECONDS
            self._notify(f"{name} cannot be started: {error.strerror}")
            return False
        self._names.add(name)
        self._started_at[name] = self._now()
        return True

    def stop(self, name: str) -> None:
        """Begin to drain a node."""
        self._stopping = name
        self._begin(
            Phase.DRAINING,
            ("worker", "drain", name, "--timeout", f"{_DRAIN_SECONDS:g}", "--reason", "scale in"),
            _DRAIN_SECONDS + _COMMAND_SECONDS,
        )

    def keep(self) -> bool:
        """Keep the node that is being drained, if there is one."""
        if not self._stopping or self._phase is not Phase.DRAINING:
            return False
        self._keep_stopping_node()
        return True

    def step(self) -> None:
        """Notice nodes that have ended, and go on with the one that is being stopped."""
        for name in sorted(self._names):
            child = self._processes.children.get(name)
            code = child.exit_code() if child else 0
            if code is not None:
                self._ended(name, code)
        if self._stopping:
            self._advance()

    def _ended(self, name: str, code: int) -> None:
        self._names.discard(name)
        self._processes.children.pop(name, None)
        ran = self._now() - self._started_at.pop(name)
        if name == self._stopping:
            self._remove()
        elif code == 0:
            self._notify(f"{name} has stopped")
        else:
            # The next recommendation replaces it, if it is needed.
            self._early_ends = self._early_ends + 1 if ran < _STABLE_SECONDS else 0
            delay = _FIRST_DELAY_SECONDS * 2 ** min(self._early_ends, _MOST_DOUBLINGS)
            self._not_before = self._now() + min(_LONGEST_DELAY_SECONDS, delay)
            self._notify(f"{name} ended with exit code {code}")

    def _advance(self) -> None:
        """Go on with the node that is being stopped."""
        late = self._now() > self._phase_until
        if self._phase is Phase.ENDING:
            if late:
                self._processes.kill_tree(self._stopping)  # it is empty
                self._names.discard(self._stopping)
                self._remove()
            return
        code = self._command.poll() if self._command else 1
        if code is None and late and self._command:
            self._command.kill()
            code = 1
        if code is None:
            return
        if self._phase is Phase.DRAINING and self._stopping in self._names:
            if code:
                self._notify(f"{self._stopping} could not be drained, and stays")
                self._keep_stopping_node()
            else:
                self._phase, self._phase_until = Phase.ENDING, self._now() + _END_SECONDS
                self._processes.terminate(self._stopping)
            return
        if self._phase is Phase.REMOVING:
            self._notify(f"{self._stopping} has stopped and is removed")
        self._stopping = ""

    def _keep_stopping_node(self) -> None:
        if self._command is not None and self._command.poll() is None:
            self._command.kill()
        self._begin(Phase.KEEPING, ("worker", "uncordon", self._stopping), _COMMAND_SECONDS)

    def _remove(self) -> None:
        self._begin(Phase.REMOVING, ("worker", "remove", self._stopping, "--yes"), _COMMAND_SECONDS)

    def _begin(self, phase: Phase, words: tuple[str, ...], seconds: float) -> None:
        self._phase, self._phase_until = phase, self._now() + seconds
        try:
            self._command = self._run(*words)
        except OSError as error:
            self._command = None  # as one that failed
            self._notify(f"'afx {' '.join(words)}' cannot be started: {error.strerror}")

    def _afx(self, *words: str) -> Running:
        return self._processes.run(*words)


def owned(name: str) -> bool:
    """Return whether a node's name is one that this provider gives."""
    return name.startswith(PREFIX) and name[len(PREFIX) :].isdecimal()
