"""The faults of a schedule: each seed is one plan, made before it runs.

A plan is a list, so that what does not matter for a violation can be left out of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import TYPE_CHECKING

from simulation import upsets
from simulation.network import Conditions

if TYPE_CHECKING:
    from simulation.cluster import Cluster

FAULT_SECONDS = 18.0
"""From then on nothing goes wrong any more."""


@dataclass(slots=True, frozen=True)
class Fault:
    """Something that goes wrong, or that somebody asks for."""

    at: float
    kind: str
    seconds: float = 0.0
    """How long it lasts, or how much is lost."""
    chance: float = 0.0
    """Chooses the process, session or form that it happens to."""

    def __str__(self) -> str:
        return f"{self.at:6.2f} {self.kind} {self.seconds:.2f} s ({self.chance:.3f})"


@dataclass(slots=True, frozen=True)
class Kind:
    """How often a fault happens, how long it lasts, and what it does."""

    weight: float
    seconds: tuple[float, float]
    cause: Callable[[Cluster, Fault], None]


def plan(
    seed: int,
    *,
    only: frozenset[str] = frozenset(),
    most: int = 9,
    seconds: Mapping[str, tuple[float, float]] = MappingProxyType({}),
) -> list[Fault]:
    """Return the faults of a seed, in their order.

    ``only`` names the kinds that may occur, ``seconds`` says how long they last instead.
    """
    random = Random(f"{seed} plan")
    names = sorted(only or KINDS)
    weights = [KINDS[it].weight for it in names]
    faults = []
    for _ in range(random.randint(2, most)):
        [kind] = random.choices(names, weights)
        lasts = random.uniform(*seconds.get(kind, KINDS[kind].seconds))
        faults.append(Fault(random.uniform(1.0, FAULT_SECONDS - 2), kind, lasts, random.random()))
    return sorted(faults, key=lambda it: it.at)


def cause(cluster: Cluster, faults: list[Fault]) -> None:
    """Let faults happen when their time has come."""
    for it in faults:
        cluster.hub.at(it.at, _cause, cluster, it)
        if it.kind == "failover":
            cluster.past.keep_redis(it.at - it.seconds)
        if it.kind == "sql loses commits":
            cluster.past.keep_sql(it.at - it.seconds)
    cluster.hub.at(FAULT_SECONDS, upsets.end_all, cluster)


def _cause(cluster: Cluster, fault: Fault) -> None:
    cluster.hub.trace(f"FAULT {fault}")
    KINDS[fault.kind].cause(cluster, fault)


def _bad_network(cluster: Cluster, fault: Fault) -> None:
    machine = upsets.machine(cluster, fault)
    late, lose = 0.1 + 0.6 * (fault.chance * 13 % 1), 0.3 * (fault.chance * 7 % 1)
    conditions = Conditions(f"{cluster.seed} {fault.at}", late=late, lose=lose)
    cluster.network.bad[machine.name] = conditions
    upsets.later(cluster, fault, lambda: cluster.network.bad.pop(machine.name, None))


def _cut(cluster: Cluster, fault: Fault) -> None:
    name = upsets.machine(cluster, fault).name
    cluster.network.cut[name] = cluster.hub.now + fault.seconds


def _freeze(cluster: Cluster, fault: Fault) -> None:
    if process := upsets.process(cluster, fault):
        process.freeze(fault.seconds)


def _freeze_machine(cluster: Cluster, fault: Fault) -> None:
    for it in upsets.machine(cluster, fault).processes.values():
        if it.alive:
            it.freeze(fault.seconds)


def _kill(cluster: Cluster, fault: Fault) -> None:
    if process := upsets.process(cluster, fault):
        process.kill()


def _kill_machine(cluster: Cluster, fault: Fault) -> None:
    for it in list(upsets.machine(cluster, fault).processes.values()):
        it.kill()


def _stall(cluster: Cluster, fault: Fault) -> None:
    cluster.network.primary.stalled_until = cluster.hub.now + fault.seconds


def _redis_error(cluster: Cluster, fault: Fault) -> None:
    server = cluster.network.primary
    texts = (
        "OOM command not allowed when used memory > 'maxmemory'.",
        "READONLY You can't write against a read only replica.",
        "MISCONF Redis is configured to save RDB snapshots",
    )
    if fault.chance < 0.25:
        server.error_for_all = "LOADING Redis is loading the dataset in memory"
    else:
        server.error = texts[int(fault.chance * 100) % 3]
    upsets.later(cluster, fault, lambda: upsets.end_redis_errors(cluster))


def _slow_telegram(cluster: Cluster, fault: Fault) -> None:
    cluster.telegram.slow_until = cluster.hub.now + fault.seconds


def _telegram_refuses(cluster: Cluster, fault: Fault) -> None:
    cluster.telegram.refuses_until = cluster.hub.now + fault.seconds


def _lose_connection(cluster: Cluster, fault: Fault) -> None:
    cluster.telegram.lose_connection(upsets.session(cluster, fault))


def _blind_witness(cluster: Cluster, fault: Fault) -> None:
    machine = upsets.machine(cluster, fault)
    machine.hides_processes = True
    upsets.later(cluster, fault, lambda: setattr(machine, "hides_processes", False))


def _sql_fails(cluster: Cluster, fault: Fault) -> None:
    cluster.sql.fails_until = cluster.hub.now + fault.seconds


def _sql_loses_answers(cluster: Cluster, fault: Fault) -> None:
    cluster.sql.loses_answers_until = cluster.hub.now + fault.seconds


KINDS: dict[str, Kind] = {
    "bad network": Kind(3, (1.0, 8.0), _bad_network),
    "cut off": Kind(2, (0.5, 9.0), _cut),
    "freeze": Kind(4, (0.3, 9.0), _freeze),
    "freeze machine": Kind(1, (0.5, 8.0), _freeze_machine),
    "kill": Kind(3, (0.0, 0.0), _kill),
    "kill machine": Kind(0.5, (0.0, 0.0), _kill_machine),
    "stall": Kind(1, (0.3, 5.0), _stall),
    "redis error": Kind(1, (0.3, 5.0), _redis_error),
    "redis restart": Kind(1, (0.0, 2.0), upsets.redis_restart),
    "failover": Kind(1.5, (0.0, 2.5), upsets.failover),
    "flush": Kind(1, (0.0, 90.0), upsets.flush),
    "split": Kind(1, (3.0, 12.0), upsets.split),
    "slow telegram": Kind(1.5, (1.0, 6.0), _slow_telegram),
    "telegram refuses": Kind(0.5, (0.5, 3.0), _telegram_refuses),
    "lose connection": Kind(2, (0.0, 0.0), _lose_connection),
    "blind witness": Kind(1, (2.0, 10.0), _blind_witness),
    "sql fails": Kind(1, (0.2, 4.0), _sql_fails),
    "sql loses answers": Kind(0.7, (0.2, 1.5), _sql_loses_answers),
    "sql loses commits": Kind(1.5, (0.1, 3.0), upsets.sql_loses_commits),
    "leader hangs": Kind(1, (1.0, 8.0), upsets.leader_hangs),
    "forged death": Kind(1, (0.0, 0.0), upsets.forged_death),
    "newer version": Kind(1, (0.0, 0.0), upsets.newer_version),
    "pause and resume": Kind(2, (0.1, 3.0), upsets.pause_and_resume),
    "hibernate and wake": Kind(2, (0.1, 4.0), upsets.hibernate_and_wake),
    "rule off and on": Kind(1, (0.5, 6.0), upsets.rule_off_and_on),
    "move": Kind(2, (0.0, 0.0), upsets.move),
    "drain": Kind(0.7, (2.0, 6.0), upsets.drain),
    "replace host": Kind(1.5, (0.0, 0.0), upsets.replace_host),
    "recycle": Kind(0.5, (0.0, 0.0), upsets.recycle),
}
