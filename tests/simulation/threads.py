"""Stand-ins for the standard library's threads, events, queues and pools, on the hub."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable
from typing import Any

from simulation.hub import Hub, Signal


class Threading:
    """What the real code uses of ``threading``."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def Event(self) -> Event:  # noqa: N802
        return Event(self._hub)

    def Lock(self) -> Lock:  # noqa: N802
        return Lock()

    def Thread(self, target: Callable[[], None], **_: Any) -> Thread:  # noqa: N802
        return Thread(self._hub, target)


class Lock:
    """A ``threading.Lock`` that is never waited for."""

    def __init__(self) -> None:
        self._is_locked = False

    def acquire(self, *, blocking: bool) -> bool:
        assert not blocking, "no code under simulation waits for a lock"
        was_locked, self._is_locked = self._is_locked, True
        return not was_locked

    def release(self) -> None:
        self._is_locked = False


class Event:
    """A ``threading.Event``."""

    def __init__(self, hub: Hub) -> None:
        self._signal = Signal(hub)

    def is_set(self) -> bool:
        return self._signal.is_set

    def set(self) -> None:
        self._signal.set()

    def wait(self, timeout: float | None = None) -> bool:
        return self._signal.wait(timeout)


class Thread:
    """A ``threading.Thread`` of the process that starts it."""

    def __init__(self, hub: Hub, target: Callable[[], None]) -> None:
        self._hub = hub
        self._target = target
        self._ended = Signal(hub)

    def start(self) -> None:
        self._ended = self._hub.check_alive().spawn(self._target)

    def join(self, timeout: float | None = None) -> None:
        self._ended.wait(timeout)

    def is_alive(self) -> bool:
        return not self._ended.is_set


class Queue:
    """What the real code uses of ``queue``."""

    Empty = queue.Empty

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def SimpleQueue(self) -> SimpleQueue:  # noqa: N802
        return SimpleQueue(self._hub)

    def __class_getitem__(cls, _: Any) -> Any:
        return cls


class SimpleQueue:
    """A ``queue.SimpleQueue`` that one thread reads."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._items: deque[Any] = deque()
        self._filled = Signal(hub)

    def put(self, item: Any) -> None:
        self._items.append(item)
        self._filled.set()

    def get(self, timeout: float | None = None) -> Any:
        if not self._items:
            self._filled = Signal(self._hub)
            self._filled.wait(timeout)
        if not self._items:
            raise queue.Empty
        return self._items.popleft()


class Pool:
    """A ``ThreadPoolExecutor`` whose work gives no result."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def submit(self, work: Callable[..., None], *arguments: Any) -> None:
        self._hub.check_alive().spawn(work, *arguments)

    def shutdown(self, **_: Any) -> None:
        """Nothing to end: what is under way ends with its process."""
