"""A cluster of the real coordinators and nodes, in virtual time."""

from __future__ import annotations

import itertools
from functools import cache
from random import Random
from typing import Any

from cryptography.fernet import Fernet
from greenlet import GreenletExit
from simulation import patches
from simulation.hub import Hub, Machine, Process
from simulation.judge import Judge
from simulation.network import Network
from simulation.past import Past
from simulation.redis_server import Server
from simulation.sql import Sql
from simulation.telegram import Telegram
from simulation.virtual_loop import VirtualLoop

from afx.clock import Clock
from afx.cluster import keys
from afx.config import Settings, load
from afx.coordinator.loop import Coordinator
from afx.errors import AfxError
from afx.node.process_group import ProcessGroup
from afx.security.vault import Vault

_WALL_CLOCK = 1.8e9
_RESTART_SECONDS = (1.0, 4.0)
_KEY = Fernet.generate_key().decode()
_VAULT = Vault([_KEY])


@cache
def _login(session_id: int) -> str:
    return _VAULT.seal("a login", session_id=session_id)


@cache
def _settings(capacity: int, processes: int, hold: float) -> Settings:
    return load(
        redis_url="redis://simulated",
        max_sessions=capacity * processes,
        processes=processes,
        tick_seconds=0.25,
        rebalance_seconds=0.0,
        brake_hold_seconds=hold,
        answer_seconds=10.0,
        sample_seconds=60.0,
        flush_seconds=0.5,
        starts_per_second=100.0,
        start_timeout_seconds=10.0,
        hibernate_poll_minutes=0.05,
        hibernate_unused_minutes=0.03,
        hibernate_fresh_hours=0.0,
        hibernate_wake_days=0.0001,
    )


class Cluster:
    """The processes of a cluster, and the servers and machines that they use."""

    def __init__(
        self,
        seed: int,
        *,
        nodes: int = 3,
        sessions: int = 6,
        capacity: int = 4,
        coordinators: int = 2,
        traced: bool = False,
    ) -> None:
        self.seed = seed
        self.capacity = capacity
        self.hub = Hub(traced=traced)
        self.ids = Random(f"{seed} ids")
        self.vault = _VAULT
        self.processes = 2 if seed % 5 == 1 else 1
        """How many host processes a node begins with; ``capacity`` is that of each."""
        self.settings = _settings(capacity, self.processes, 3.0 if seed % 4 == 0 else 0.0)
        self.server = Server(self.hub, clock_offset=_WALL_CLOCK)
        self.network = Network(self.hub, self.server, seed)
        self.judge = Judge(self.hub, seed)
        self.telegram = Telegram(self.judge, seed)
        self.loops: list[VirtualLoop] = []
        self.hosts: dict[int, tuple[Process, str, str]] = {}
        """pid → (process, node, incarnation) of every host ever."""
        self.sql = Sql(self.hub)
        self.past = Past(self.hub, self.sql, lambda: self.network.primary)
        self.requires_replicas = True
        """Redis runs with min-replicas-to-write."""
        patches.install(self)
        self.session_ids = self.sql.add_sessions(sessions, _login)
        random = Random(f"{seed} machines")
        self.machines = [
            Machine(
                self.hub,
                f"m{number}",
                rate=1 + random.uniform(-0.0045, 0.0045),
                offset=random.uniform(10.0, 1000.0),
            )
            for number in range(random.choice((2, nodes)))
        ]
        self._restarts = Random(f"{seed} restarts")
        self.coordinators: dict[str, Process] = {}
        self.supervisors: dict[str, Process] = {}
        machines = itertools.cycle(self.machines)
        for number in range(nodes):
            self._start_node(f"w{number}", next(machines))
        for number in range(coordinators):
            self._start_coordinator(f"c{number}", next(machines))

    def clock(self, machine: Machine) -> Clock:
        """Return the clocks of a machine."""
        return Clock(machine.boottime, machine.boottime, self.wall_clock)

    def wall_clock(self) -> float:
        """Return the time of day; no decision about leases rests on it."""
        return _WALL_CLOCK + self.hub.now

    def note_host(self, process: Process, node: str, incarnation: str) -> None:
        """Note a host that was started."""
        self.hosts[process.pid] = (process, node, incarnation)

    def leader(self) -> Process | None:
        """Return the coordinator that leads, as Redis says."""
        holder = self.network.primary.data.find(keys.LEADER.encode(), bytes)
        pid = holder.split(b":")[1] if holder else b""
        found = [it for it in self.coordinators.values() if it.alive and b"%d" % it.pid == pid]
        return found[0] if found else None

    def add_server(self, server: Server) -> None:
        """Another server of Redis has begun."""

    def run(self, seconds: float) -> None:
        """Let so many seconds pass, or less when the judge has found enough."""
        self.hub.run(self.hub.now + seconds, stop=lambda: self.judge.is_done)

    def close(self) -> None:
        """End everything."""
        self.hub.lines = None
        for process in [*self.coordinators.values(), *self.supervisors.values()]:
            process.kill()
        for process, _, _ in self.hosts.values():
            process.kill()
        self.hub.run(self.hub.now, stop=lambda: False)
        self.hub.end()
        self.sql.close()

    # --- processes --------------------------------------------------------------------

    def _start_coordinator(self, name: str, machine: Machine) -> None:
        process = self.coordinators[name] = Process(self.hub, machine, name)

        def run() -> None:
            Coordinator(self.settings, "", self.vault, clock=self.clock(machine)).run()
            process.kill()

        process.spawn(self._guarded(run, process))
        process.on_death.append(lambda: self._later(self._start_coordinator, name, machine))

    def _start_node(self, name: str, machine: Machine) -> None:
        process = self.supervisors[name] = Process(self.hub, machine, f"{name} supervisor")

        def run() -> None:
            ProcessGroup(self.settings.for_node(), "", name, self.clock(machine)).run()
            process.kill()  # one that is to restart as a whole begins again a little later

        process.spawn(self._guarded(run, process))
        process.on_death.append(lambda: self._later(self._start_node, name, machine))

    def _guarded(self, run: Any, process: Process) -> Any:
        def guarded() -> None:
            try:
                run()
            except GreenletExit:
                raise
            except AfxError as error:
                self.hub.trace(f"{process.name} ends: {error}")
                process.kill()
            except BaseException:
                self.hub.after(0.0, process.kill)
                raise

        return guarded

    def _later(self, start: Any, name: str, machine: Machine) -> None:
        """A service manager starts again what has ended."""
        self.hub.after(self._restarts.uniform(*_RESTART_SECONDS), start, name, machine)
