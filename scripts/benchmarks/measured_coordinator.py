"""A coordinator that notes when it observes the nodes and how long its ticks take.

``measured_coordinator.py FILE``: settings come from the environment. SIGUSR1 begins a new
window of ticks. FILE gets one JSON object at SIGUSR2 and at the end.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from afx.app import run_coordinator
from afx.cluster import events, report_stream
from afx.cluster.registry import Registry
from afx.config import load
from afx.coordinator.takeover import Takeover
from afx.coordinator.term import Term


class Measurements:
    """What one coordinator did, in monotonic seconds and in seconds of CPU time.

    Where other processes share the machine, the CPU time is what it would take alone.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.observed_at: list[tuple[float, float]] = []
        self.ticks: list[tuple[float, float]] = []
        """How long each tick of the window worked, without its waiting for reports."""
        self.announced_at: dict[str, float] = {}
        """kind of event → when the first one was announced."""
        self.read_at: float | None = None
        """When the takeover had read everything."""
        self._waited = 0.0

    def begin_window(self, *_: object) -> None:
        """Forget the ticks before; the handler of a signal."""
        self.ticks.clear()

    def write(self, *_: object) -> None:
        """Write all to the file, at once as a whole; also the handler of a signal."""
        part = self._file.with_suffix(".part")
        part.write_text(json.dumps({k: it for k, it in vars(self).items() if k[0] != "_"}))
        part.rename(self._file)

    def install(self) -> None:
        """Measure from now on."""
        self._wrap(Registry, "all", self._observing)
        self._wrap(Term, "tick", self._ticking)
        self._wrap(report_stream, "read", self._waiting)
        self._wrap(events, "announce", self._announcing)
        self._wrap(Takeover, "step", self._reading)

    def _wrap(self, owner: Any, name: str, how: Callable[..., Any]) -> None:
        inner = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            return how(inner, *args, **kwargs)

        setattr(owner, name, wrapped)

    def _observing(self, inner: Callable[..., Any], *args: Any) -> Any:
        self.observed_at.append((time.monotonic(), time.thread_time()))
        return inner(*args)

    def _ticking(self, inner: Callable[..., Any], *args: Any) -> Any:
        self._waited, begun, cpu = 0.0, time.monotonic(), time.thread_time()
        try:
            return inner(*args)
        finally:
            worked = time.monotonic() - begun - self._waited
            self.ticks.append((worked, time.thread_time() - cpu))

    def _waiting(self, inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        begun = time.monotonic()
        batch = inner(*args, **kwargs)
        if not batch.reports:
            self._waited += time.monotonic() - begun
        return batch

    def _announcing(self, inner: Callable[..., Any], client: Any, kind: str, **more: Any) -> Any:
        self.announced_at.setdefault(kind, time.monotonic())
        return inner(client, kind, **more)

    def _reading(self, inner: Callable[..., Any], takeover: Takeover) -> None:
        inner(takeover)
        if takeover.is_done:
            self.read_at = time.monotonic()


def main() -> None:
    """Run a coordinator, and write what was measured."""
    measured = Measurements(Path(sys.argv[1]))
    measured.install()
    signal.signal(signal.SIGUSR1, measured.begin_window)
    signal.signal(signal.SIGUSR2, measured.write)
    run_coordinator(load())
    measured.write()


if __name__ == "__main__":
    main()
