"""How often something was changed: processes that serve one address tell each other.

What a process keeps is older than a change that another one has made, and whoever made the
change may look at it through any of them.
"""

from __future__ import annotations

import mmap
import struct
import threading
from typing import Protocol

_COUNT = struct.Struct("<Q")


class Generation(Protocol):
    """Differs after each change."""

    def current(self) -> bytes:
        """Return what differs after each change."""

    def advance(self) -> None:
        """Note a change."""


class OwnGeneration:
    """That of a process which is alone."""

    def __init__(self) -> None:
        self._count = 0

    def current(self) -> bytes:
        """Return what differs after each change."""
        return _COUNT.pack(self._count)

    def advance(self) -> None:
        """Note a change."""
        self._count += 1


class SharedGeneration:
    """That of several processes: each counts in its own place of a shared memory.

    So none needs a lock that another one, which was killed, holds for ever.
    """

    def __init__(self, descriptor: int, place: int, places: int) -> None:
        """``descriptor`` is of a file of ``size_of(places)`` bytes; it stays the caller's."""
        self._map = mmap.mmap(descriptor, size_of(places))
        self._offset = place * _COUNT.size
        self._lock = threading.Lock()

    def current(self) -> bytes:
        """Return what differs after each change."""
        return self._map[:]

    def advance(self) -> None:
        """Note a change."""
        with self._lock:
            [count] = _COUNT.unpack_from(self._map, self._offset)
            _COUNT.pack_into(self._map, self._offset, count + 1)


def size_of(places: int) -> int:
    """Return how many bytes so many processes share."""
    return places * _COUNT.size
