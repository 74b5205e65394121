"""The few numbers that a supervisor and its host share in memory.

Each is an aligned double, written in one store. The guard reads one before each write
to a socket, so a read must be cheap.
"""

from __future__ import annotations

import ctypes
import mmap
import os

from afx.cluster.redis_faults import RedisFault

_SIZE = 4096
(
    _DEADLINE,
    _QUIET_FROM,
    _HOST_BEAT,
    _SESSIONS,
    _STARTING,
    _FORWARDED,
    _LOSSES,
    _REDIS_FAULT,
    _SHORT_OF_RAM,
    _COUNT,
) = range(10)
_FAULTS: tuple[RedisFault | None, ...] = (None, *RedisFault)


class LeaseMemory:
    """The shared page; the supervisor creates it, the host opens its descriptor."""

    def __init__(self, descriptor: int | None = None) -> None:
        if descriptor is None:
            descriptor = os.memfd_create("afx-lease", 0)
            os.ftruncate(descriptor, _SIZE)
        self.descriptor = descriptor
        self._map = mmap.mmap(descriptor, _SIZE)
        self._numbers = (ctypes.c_double * _COUNT).from_buffer(self._map)

    @property
    def deadline(self) -> float:
        """CLOCK_BOOTTIME seconds at which the host must have stopped."""
        return self._numbers[_DEADLINE]

    @property
    def quiet_from(self) -> float:
        """CLOCK_BOOTTIME seconds from which the host takes on nothing new."""
        return self._numbers[_QUIET_FROM]

    def renew(self, quiet_from: float, deadline: float) -> None:
        """Let the host run until ``deadline``."""
        self._numbers[_QUIET_FROM] = quiet_from
        self._numbers[_DEADLINE] = deadline

    @property
    def host_beat(self) -> float:
        """CLOCK_BOOTTIME seconds at which the host's loop last ran."""
        return self._numbers[_HOST_BEAT]

    def beat(self, now: float, sessions: int, starting: int, forwarded: int) -> None:
        """Note that the host's loop runs, and how many sessions it has."""
        self._numbers[_SESSIONS] = sessions
        self._numbers[_STARTING] = starting
        self._numbers[_FORWARDED] = forwarded
        self._numbers[_HOST_BEAT] = now

    @property
    def losses(self) -> int:
        """How often Redis has lost its data in this incarnation's life."""
        return int(self._numbers[_LOSSES])

    def note_loss(self) -> None:
        """Let the host write all progress of its sessions again."""
        self._numbers[_LOSSES] += 1

    @property
    def redis_fault(self) -> RedisFault | None:
        """What hinders the host's use of Redis."""
        return _FAULTS[int(self._numbers[_REDIS_FAULT])]

    def note_redis_fault(self, fault: RedisFault | None) -> None:
        """Let the supervisor's heartbeats show what hinders the host."""
        self._numbers[_REDIS_FAULT] = _FAULTS.index(fault)

    @property
    def short_of_ram(self) -> bool:
        """Whether the host is to give back what RAM it does not need."""
        return bool(self._numbers[_SHORT_OF_RAM])

    def note_short_of_ram(self, short: bool) -> None:
        """Let the host know whether RAM is short."""
        self._numbers[_SHORT_OF_RAM] = short

    def counts(self) -> tuple[int, int, int]:
        """Return the host's (sessions, starting, forwarded)."""
        values = self._numbers
        return int(values[_SESSIONS]), int(values[_STARTING]), int(values[_FORWARDED])
