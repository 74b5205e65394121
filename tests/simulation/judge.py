"""What Telegram sees, and what must never be: the judge of a schedule."""

from __future__ import annotations

from random import Random

from simulation.hub import Hub, Process

from afx import lease

IN_FLIGHT = lease.PROFILES["fast"].in_flight
"""A write may reach Telegram so long after it was made (TCP_USER_TIMEOUT).

The lock delay exists for it: without drift, a takeover comes L_leader + G − L_node
= 2 s after a node's last write at the earliest.
"""
IN_FLIGHT_AFTER_CLOSE = 0.15
"""The same for a socket that was closed: nothing is sent again (SO_LINGER 0)."""
_MOST_VIOLATIONS = 5
"""A schedule ends after so many: more of them say nothing new."""


class Opened:
    """One connection of a session."""

    __slots__ = ("data_until", "epoch", "is_open", "process", "session_id")

    def __init__(self, session_id: int, epoch: int, process: Process) -> None:
        self.session_id = session_id
        self.epoch = epoch
        self.process = process
        self.is_open = True
        self.data_until = 0.0
        """Until when its data may arrive."""


class Judge:
    """Sees every connection and every write; ``violations`` is empty when all is well."""

    def __init__(self, hub: Hub, seed: int) -> None:
        self.hub = hub
        self.violations: list[str] = []
        self.opened = 0
        self.opened_at: dict[int, float] = {}
        """session → when it last connected."""
        self.data_outlives_its_process = False
        """Sockets are closed without SO_LINGER: for a broken variant."""
        self._random = Random(f"{seed} judge")
        self._connections: dict[int, list[Opened]] = {}
        self._highest_epoch: dict[int, int] = {}
        self._watched: set[int] = set()

    @property
    def is_done(self) -> bool:
        """Whether enough violations were found."""
        return len(self.violations) >= _MOST_VIOLATIONS

    # --- connections ----------------------------------------------------------------

    def open(self, session_id: int, epoch: int, process: Process) -> Opened:
        """A session connects."""
        self.opened += 1
        self.opened_at[session_id] = self.hub.now
        fresh = Opened(session_id, epoch, process)
        self._check(fresh, "connects")
        self._connections.setdefault(session_id, []).append(fresh)
        if process.pid not in self._watched:
            self._watched.add(process.pid)
            process.on_death.append(lambda: self._close_all(process))
        self.hub.trace(f"session {session_id} connects on {process.name}, epoch {epoch:#x}")
        return fresh

    def write(self, opened: Opened) -> None:
        """A session uses its connection."""
        self._check(opened, "writes")
        opened.data_until = self.hub.now + self._random.uniform(0, IN_FLIGHT)

    def close(self, opened: Opened) -> None:
        """A connection is closed, by its session or by the kernel of a dead process."""
        if not opened.is_open:
            return
        opened.is_open = False
        late = IN_FLIGHT if self.data_outlives_its_process else IN_FLIGHT_AFTER_CLOSE
        until = self.hub.now + self._random.uniform(0, late)
        opened.data_until = until if late == IN_FLIGHT else min(opened.data_until, until)
        self.hub.trace(f"session {opened.session_id} disconnects on {opened.process.name}")

    def live(self) -> dict[int, Process]:
        """Return session → the process that has its connection."""
        return {
            session: it.process
            for session, all_ in self._connections.items()
            for it in all_
            if it.is_open and it.process.alive
        }

    def _close_all(self, process: Process) -> None:
        for connections in self._connections.values():
            for it in connections:
                if it.process is process:
                    self.close(it)

    def _check(self, used: Opened, verb: str) -> None:
        now = self.hub.now
        session_id = used.session_id
        others = self._connections.get(session_id, [])
        for it in others:
            if it is used:
                continue
            # One process reads no answer of a connection that it has lost itself.
            in_flight = it.data_until > now and it.process is not used.process
            if in_flight or (it.is_open and self._can_write(it.process)):
                self.violate(
                    f"session {session_id} {verb} on {used.process.name} (epoch "
                    f"{used.epoch:#x}) while {it.process.name} uses it ({it.epoch:#x})"
                )
        highest = self._highest_epoch.get(session_id, 0)
        if used.epoch < highest:
            self.violate(f"session {session_id} {verb} under an old epoch on {used.process.name}")
        self._highest_epoch[session_id] = max(used.epoch, highest)
        if len(others) > 4:
            self._connections[session_id] = [
                it for it in others if it.is_open or it.data_until > now
            ]

    def _can_write(self, process: Process) -> bool:
        """Return whether the guard of a process permits writes now."""
        if not process.alive or process.frozen_until > self.hub.now:
            return False
        return process.machine.boottime() < process.lease_until()

    # --- what others see --------------------------------------------------------------

    def violate(self, text: str) -> None:
        """Note a violation."""
        self.violations.append(f"{self.hub.now:.2f}: {text}")
        self.hub.trace(f"VIOLATION: {text}")
