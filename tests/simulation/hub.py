"""Virtual time: what happens when, and the simulated machines, processes and threads.

Each thread of the real code is a greenlet. It runs until it blocks; what blocks it is
one of the stand-ins in this package. So a schedule is deterministic, and a minute of it
takes a fraction of a second.
"""

from __future__ import annotations

import heapq
import itertools
import traceback
from collections.abc import Callable
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

Action = Callable[..., None]


class Machine:
    """One machine: its clocks run at a rate and from an offset of their own."""

    def __init__(self, hub: Hub, name: str, *, rate: float = 1.0, offset: float = 0.0) -> None:
        self.name = name
        self.rate = rate
        self.boot_id = f"boot of {name}"
        self.hides_processes = False
        """A witness here may not read ``/proc`` nor open a pidfd."""
        self.processes: dict[int, Process] = {}
        self._hub = hub
        self._offset = offset

    def boottime(self) -> float:
        """Return CLOCK_BOOTTIME of this machine."""
        return self._offset + self._hub.now * self.rate

    def seconds_until(self, when: float) -> float:
        """Return how much virtual time passes until this machine's clock shows an instant."""
        return (when - self._offset) / self.rate - self._hub.now


class Process:
    """One process of the operating system; ``kill`` ends it as SIGKILL does."""

    _pids = itertools.count(100)

    def __init__(self, hub: Hub, machine: Machine, name: str) -> None:
        self.hub = hub
        self.machine = machine
        self.name = name
        self.pid = next(self._pids)
        self.alive = True
        self.frozen_until = 0.0
        self.on_death: list[Action] = []
        self.lease_until: Callable[[], float] = lambda: float("inf")
        """Until when its lease lasts, on its machine's clock."""
        self._threads: list[greenlet] = []
        machine.processes[self.pid] = self

    def spawn(self, work: Action, *arguments: Any) -> Signal:
        """Run work on a thread of this process; returns a signal of its end."""
        done = Signal(self.hub)

        def run() -> None:
            try:
                work(*arguments)
            except GreenletExit:
                pass
            except BaseException:
                if self.alive:
                    self.hub.note_crash(self, traceback.format_exc())
            finally:
                self._threads.remove(thread)
                done.set()

        thread = greenlet(run, parent=self.hub.main)
        self._threads.append(thread)
        self.hub.after(0.0, self.hub.resume, self, thread)
        return done

    def freeze(self, seconds: float) -> None:
        """Stop the process, as SIGSTOP does, for a while."""
        self.frozen_until = max(self.frozen_until, self.hub.now + seconds)
        self.hub.trace(f"{self.name} stands still for {seconds:.1f} s")

    def kill(self) -> None:
        """End the process at once: nothing of it runs any more."""
        if not self.alive:
            return
        self.alive = False
        self.hub.trace(f"{self.name} is dead")
        for action in self.on_death:
            action()
        for thread in list(self._threads):
            if thread is not getcurrent():
                self.hub.after(0.0, self._end, thread)

    def _end(self, thread: greenlet) -> None:
        if not thread.dead:
            self.hub.current = self
            thread.throw(GreenletExit)
            self.hub.current = None


class Signal:
    """What a thread waits for: it is set once, and may have a value."""

    __slots__ = ("_callbacks", "_hub", "_waiting", "is_set", "value")

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._waiting: list[_Waiter] = []
        self._callbacks: list[Action] = []
        self.is_set = False
        self.value: Any = None

    def set(self, value: Any = None) -> None:
        """Let all who wait go on."""
        if self.is_set:
            return
        self.is_set, self.value = True, value
        for it in self._waiting:
            self._hub.after(0.0, self._hub.wake, it)
        self._waiting = []
        for action in self._callbacks:
            action()

    def on_set(self, action: Action) -> None:
        """Call an action when it is set."""
        self._callbacks.append(action)

    def wait(self, seconds: float | None = None) -> bool:
        """Block the running thread until it is set, or for so long; returns whether it is."""
        process = self._hub.check_alive()
        if self.is_set:
            return True
        waiter = _Waiter(process, getcurrent())
        self._waiting.append(waiter)
        if seconds is not None:
            self._hub.after(max(0.0, seconds) / process.machine.rate, self._hub.wake, waiter)
        self._hub.block()
        return self.is_set


class _Waiter:
    __slots__ = ("process", "thread")

    def __init__(self, process: Process, thread: greenlet) -> None:
        self.process = process
        self.thread: greenlet | None = thread


class Hub:
    """The scheduler of one schedule."""

    def __init__(self, *, traced: bool = False) -> None:
        self.now = 0.0
        self.main = getcurrent()
        self.current: Process | None = None
        self.crashes: list[str] = []
        self.lines: list[str] | None = [] if traced else None
        self.before_block: Action = lambda: None
        self._events: list[tuple[float, int, Action, tuple[Any, ...]]] = []
        self._count = itertools.count()

    def at(self, when: float, action: Action, *arguments: Any) -> None:
        """Call an action at an instant."""
        heapq.heappush(self._events, (when, next(self._count), action, arguments))

    def after(self, seconds: float, action: Action, *arguments: Any) -> None:
        """Call an action when so many seconds have passed."""
        self.at(self.now + seconds, action, *arguments)

    def run(self, until: float, *, stop: Callable[[], bool] = lambda: False) -> None:
        """Let time pass."""
        events = self._events
        while events and events[0][0] <= until and not stop():
            self.now, _, action, arguments = heapq.heappop(events)
            action(*arguments)
        if not stop():
            self.now = until

    def end(self) -> None:
        """Forget all that was to happen."""
        self._events.clear()

    # --- threads --------------------------------------------------------------------

    def check_alive(self) -> Process:
        """Return the running process; ends the thread of a dead one."""
        process = self.current
        assert process is not None, "only a thread of a process may block"
        if not process.alive:
            raise GreenletExit
        return process

    def block(self) -> None:
        """Let others run until this thread is woken."""
        self.before_block()
        process = self.current
        self.main.switch()
        self.current = process

    def sleep(self, seconds: float) -> None:
        """Block the running thread for so long."""
        Signal(self).wait(seconds)

    def wake(self, waiter: _Waiter) -> None:
        """Let a thread that waits go on, once: when its process is not frozen."""
        if waiter.thread is None or not waiter.process.alive:
            return
        if waiter.process.frozen_until > self.now:
            self.at(waiter.process.frozen_until, self.wake, waiter)
            return
        thread, waiter.thread = waiter.thread, None
        self.resume(waiter.process, thread)

    def resume(self, process: Process, thread: greenlet) -> None:
        """Run a thread until it blocks."""
        if not process.alive or thread.dead:
            return
        if process.frozen_until > self.now:
            self.at(process.frozen_until, self.resume, process, thread)
            return
        self.current = process
        thread.switch()
        self.current = None

    # --- what happened ----------------------------------------------------------------

    def note_crash(self, process: Process, text: str) -> None:
        """An exception that nothing caught has ended a thread: a defect."""
        self.crashes.append(f"{process.name}: {text}")
        self.trace(f"{process.name} crashed: {text}")

    def trace(self, line: str) -> None:
        """Note what happened, for people."""
        if self.lines is not None:
            self.lines.append(f"{self.now:8.3f} {line}")
