"""Which faults befall a cluster, and when: a pure function of a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from afx.sandbox.mischief import Mischief

Kind = Literal[
    "kill-node",
    "kill-supervisor",
    "kill-host",
    "stop-node",
    "stop-supervisor",
    "stop-host",
    "cut-node",
    "slow-node",
    "reset-node",
    "kill-leader",
    "stop-leader",
    "kill-redis",
    "stop-redis",
    "flush-redis",
    "full-redis",
    "readonly-redis",
    "busy-redis",
    "stop-all",
    "drop-telegram",
    "refuse-telegram",
    "slow-telegram",
    "flood",
    "mischief",
    "drain",
    "move",
    "recycle",
    "recycle-coordinators",
]

LONGEST: dict[Kind, float] = {
    "kill-node": 6.0,
    "kill-supervisor": 6.0,
    "kill-host": 0.0,
    "stop-node": 12.0,
    "stop-supervisor": 12.0,
    "stop-host": 12.0,
    "cut-node": 12.0,
    "slow-node": 15.0,
    "reset-node": 0.0,
    "kill-leader": 6.0,
    "stop-leader": 10.0,
    "kill-redis": 4.0,
    "stop-redis": 6.0,
    "flush-redis": 0.0,
    "full-redis": 2.0,
    "readonly-redis": 2.0,
    "busy-redis": 2.0,
    "stop-all": 8.0,
    "drop-telegram": 0.0,
    "refuse-telegram": 4.0,
    "slow-telegram": 8.0,
    "flood": 5.0,
    "mischief": 10.0,
    "drain": 10.0,
    "move": 0.0,
    "recycle": 0.0,
    "recycle-coordinators": 0.0,
}
"""Each kind of fault, and the most seconds that it lasts."""

# A fault of the whole cluster is rarer than one of a single node; mischief is many kinds in one.
_WEIGHTS: dict[Kind, float] = {
    "flush-redis": 0.5,
    "kill-redis": 0.5,
    "stop-redis": 0.5,
    "stop-all": 0.5,
    "mischief": 4.0,
}


@dataclass(slots=True, frozen=True)
class Fault:
    """One fault."""

    at: float
    """Seconds after the start of the plan."""
    kind: Kind
    seconds: float
    """How long it lasts."""
    pick: float
    """0 to 1: selects the node, or the session, that it befalls."""


def plan(
    seed: int, seconds: float, *, every: float = 6.0, kinds: Sequence[Kind] = tuple(LONGEST)
) -> list[Fault]:
    """Return the faults of so many seconds, one about each ``every`` seconds.

    The same seed gives the same faults, and a longer plan starts with the faults of a
    shorter one. Faults may overlap.
    """
    chance = random.Random(seed)
    found: list[Fault] = []
    at = 0.0
    while kinds:
        at += chance.uniform(0.3, 1.7) * every
        [kind] = chance.choices(kinds, [_WEIGHTS.get(it, 1.0) for it in kinds])
        lasting = chance.uniform(0.1, 1.0) * LONGEST[kind]
        fault = Fault(round(at, 3), kind, round(lasting, 3), chance.random())
        if at + lasting > seconds:
            break
        found.append(fault)
    return found


def mischief(fault: Fault) -> Mischief:
    """Return the mischief that a fault of this kind causes: its shares, and their seed."""
    chance = random.Random(fault.pick)
    return Mischief(
        seed=chance.getrandbits(32),
        omitted=chance.uniform(0, 0.1),
        doubled=chance.uniform(0, 0.2),
        late=chance.uniform(0, 0.3),
        late_seconds=chance.uniform(0.1, 2.0),
        too_long=chance.uniform(0, 0.05),
        lost_answers=chance.uniform(0, 0.05),
        failed_answers=chance.uniform(0, 0.1),
        lost_sessions=chance.uniform(0, 0.02),
        lagging=chance.uniform(0, 0.5),
        shuffled=chance.uniform(0, 0.5),
    )


def chosen(names: Sequence[str], pick: float) -> str:
    """Return the one of some names that a fault befalls."""
    return sorted(names)[int(pick * len(names))]
