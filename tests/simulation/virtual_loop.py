"""An asyncio loop in virtual time: one process's, it never waits and opens nothing."""

from __future__ import annotations

import asyncio
import contextvars
from asyncio import events
from collections.abc import Callable
from typing import Any

from simulation.hub import Process


class _NoSelector:
    def select(self, _timeout: float | None) -> list[Any]:
        return []

    def close(self) -> None:
        """Nothing to close."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs its callbacks when the hub's time has come to them."""

    def __init__(self, process: Process) -> None:
        super().__init__()
        self._process = process
        self._hub = process.hub
        self._selector = _NoSelector()
        self._due = float("inf")
        """For when a step is scheduled."""

    def time(self) -> float:
        """Return the machine's monotonic time."""
        return self._process.machine.boottime()

    def call_soon(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> asyncio.Handle:
        """Run a callback in the next step."""
        handle = super().call_soon(callback, *args, **kwargs)
        self._arm(self._hub.now)
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run a callback at an instant of the machine's clock."""
        handle = super().call_at(when, callback, *args, context=context)
        self._arm(self._hub.now + max(0.0, self._process.machine.seconds_until(when)))
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> asyncio.Handle:
        """Run a callback in the next step; all threads are greenlets of one thread."""
        return self.call_soon(callback, *args, **kwargs)

    def abandon(self) -> None:
        """The process is dead: nothing of it runs any more, and nothing is said about that."""
        for task in asyncio.all_tasks(self):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        self._ready.clear()  # type: ignore[attr-defined]

    def _process_events(self, event_list: list[Any]) -> None:
        """There are no events of files."""

    def _arm(self, when: float) -> None:
        if when < self._due:
            self._due = when
            self._hub.at(when, self._step, when)

    def _step(self, due: float) -> None:
        if due != self._due or not self._process.alive:
            return
        if self._process.frozen_until > self._hub.now:
            self._due = self._process.frozen_until
            self._hub.at(self._due, self._step, self._due)
            return
        self._due = float("inf")
        self._hub.current = self._process
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            self._run_once()  # type: ignore[attr-defined]
        except IndexError:
            if self._process.alive:
                raise  # else the process has ended itself, and nothing is left to run
        finally:
            events._set_running_loop(before)
            self._hub.current = None
        if self._ready:  # type: ignore[attr-defined]
            self._arm(self._hub.now)
        elif self._scheduled:  # type: ignore[attr-defined]
            first = self._scheduled[0].when()  # type: ignore[attr-defined]
            # A little later: rounding must not make a timer early for ever.
            wait = max(0.0, self._process.machine.seconds_until(first)) + 1e-6
            self._arm(self._hub.now + wait)
