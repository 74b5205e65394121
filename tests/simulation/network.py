"""The network between processes and Redis: late, lost and cut off, by a schedule's faults."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from simulation.hub import Hub, Machine, Process, Signal
from simulation.redis_server import Server


class Lost:
    """A connection that broke: whether the server got the commands cannot be known."""


LOST = Lost()


class Conditions:
    """How bad the network of some machines is, for a while."""

    def __init__(self, seed: str, *, late: float = 0.0, lose: float = 0.0, longest: float = 2.9):
        self.random = Random(seed)
        self.late = late
        self.lose = lose
        self.longest = longest


class Network:
    """Who reaches which server, and how fast."""

    def __init__(self, hub: Hub, primary: Server, seed: int) -> None:
        self.primary = primary
        self.routes: dict[str, Server] = {}
        """Machine → the server that it reaches instead of the primary."""
        self.old_primary: Server | None = None
        """The primary before a partition, as long as somebody reaches it."""
        self.cut: dict[str, float] = {}
        """Machine → until when it reaches no server."""
        self.bad: dict[str, Conditions] = {}
        self._hub = hub
        self._random = Random(f"{seed} network")

    def server_for(self, machine: Machine) -> Server:
        """Return the server that a new connection of a machine reaches."""
        return self.routes.get(machine.name, self.primary)

    def send(self, process: Process, link: Link, commands: Sequence[tuple[bytes, ...]]) -> Signal:
        """Send commands; the signal's value is the answers, or LOST."""
        answered = Signal(self._hub)
        if link.server is None:
            link.server = self.server_for(process.machine)
        there, back, fate = self._fate(process.machine)
        machine, server = process.machine, link.server
        run_id = server.run_id

        def arrive() -> None:
            now = self._hub.now
            if self.cut.get(machine.name, 0.0) > now:
                return  # a black hole: the client's time-out ends it
            if server.stalled_until > now:
                self._hub.at(server.stalled_until, arrive)
                return
            if not server.running or server.run_id != run_id or fate == "lost on the way there":
                self._hub.after(back, answered.set, LOST)
                return
            server.submit(commands, deliver)

        def deliver(results: list[Any]) -> None:
            lost = fate == "lost on the way back" or server.run_id != run_id
            self._hub.after(back, answered.set, LOST if lost else results)

        self._hub.after(there, arrive)
        return answered

    def _fate(self, machine: Machine) -> tuple[float, float, str]:
        bad = self.bad.get(machine.name)
        there, back = self._random.uniform(0.0004, 0.003), self._random.uniform(0.0004, 0.003)
        if bad is None:
            return there, back, ""
        chance = bad.random.random()
        if chance < bad.late:
            slow = bad.random.uniform(0.1, bad.longest)
            return (there + slow, back, "") if bad.random.random() < 0.5 else (there, slow, "")
        if chance < bad.late + bad.lose:
            way = "there" if bad.random.random() < 0.5 else "back"
            return there, back, f"lost on the way {way}"
        return there, back, ""


class Link:
    """One client's connection; it stays with its server until it breaks."""

    def __init__(self) -> None:
        self.server: Server | None = None

    def disconnect(self) -> None:
        """Let the next command connect anew."""
        self.server = None
