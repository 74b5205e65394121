"""What the simulated world is made of, what may go wrong in it, and what may be left out."""

from __future__ import annotations

from dataclasses import dataclass, field

from afx.coordinator.decisions import liveness
from afx.coordinator.decisions.epochs import EpochCounter


@dataclass(slots=True, frozen=True)
class Faults:
    """How often what goes wrong, as probabilities per message or per second."""

    lose: float = 0.02
    late: float = 0.05
    doubled: float = 0.03
    pause: float = 0.01
    crash: float = 0.004
    stall: float = 0.01
    leader_pause: float = 0.02
    partition: float = 0.01
    drift: float = 0.009
    flush: float = 0.004
    """Redis forgets everything."""
    failover: float = 0.004
    """A replica takes Redis's place that has not heard of the last seconds."""
    give_up: float = 0.05
    """A session that cannot go on ends by itself, and its node reports it."""
    move: float = 0.1
    """No fault: sessions that are moved, for each look of a coordinator."""


@dataclass(slots=True, frozen=True)
class Broken:
    """Rules left out on purpose: each must be found out."""

    no_lock_delay: bool = False
    deadline_from_reply: bool = False
    start_without_ack: bool = False
    stale_term_accepted: bool = False
    ended_starts_again: bool = False
    data_outlives_its_process: bool = False
    no_cool_down: bool = False
    unsure_tries_again: bool = False
    unreconciled: bool = False
    lost_is_dead: bool = False


@dataclass(slots=True)
class Record:
    incarnation: str
    state: str = "ready"
    seq: int = 0
    assigned: int = 0
    reconciled_term: int = 0
    """The term of the leader that last set its count to what SQL says."""


@dataclass(slots=True)
class Assigned:
    node: str
    incarnation: str
    epoch: int
    state: str


@dataclass(slots=True)
class Node:
    name: str
    rate: float
    """Its clock's seconds for each of the world's."""
    incarnation: str = ""
    number: int = 0
    tries: int = 0
    """How often it has tried to register."""
    deadline: float = 0.0
    paused_until: float = 0.0
    cut_until: float = 0.0
    dead: bool = False
    term: int = 0
    epochs: dict[int, int] = field(default_factory=dict)
    running: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Coordinator:
    name: str
    term: int = 0
    until: float = -1.0
    paused_until: float = 0.0
    sightings: dict[str, liveness.Sighting] = field(default_factory=dict)
    fenced_at: dict[str, float] = field(default_factory=dict)
    epochs: EpochCounter | None = None
    moving: dict[int, str] = field(default_factory=dict)
    # What it has read of SQL, and written there: stale as soon as another leads.
    active: dict[int, Assigned] = field(default_factory=dict)
    waiting: dict[int, float] = field(default_factory=dict)
    read: int = 0
    server: int = 0
    """The Redis server of which it is the leader."""
    looked_at: float = -9.0
    """When it last looked which one that is."""
