"""Redis, as far as the protocol uses it: node records, leadership, reports.

``Sql`` stands beside it: what the coordinators store of assignments.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from random import Random
from typing import NamedTuple

MAX_SNAPSHOTS = 5
"""A replica is at most so many half seconds behind."""


class Answer(Enum):
    """What Redis answers to a node that registers or sends a heartbeat."""

    ACCEPTED = auto()
    UNKNOWN = auto()
    """There is no record of the node: Redis has lost it."""
    NAME_TAKEN = auto()
    """Another incarnation of the node has a lease."""
    FENCED = auto()
    """This incarnation must end."""


@dataclass(slots=True)
class Record:
    """What Redis knows of a node."""

    incarnation: str
    state: str = "ready"
    seq: int = 0
    assigned: int = 0
    reconciled_term: int = 0
    """The term of the leader that has corrected ``assigned``."""


class Report(NamedTuple):
    """What a node says of one session."""

    kind: str
    session: int
    epoch: int
    incarnation: str


class _Snapshot(NamedTuple):
    records: dict[str, Record]
    term: int
    leader: tuple[str, float] | None
    reports: int


class Redis:
    """One Redis server, its replica, and what is lost between them."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.term = 0
        self.leader: tuple[str, float] | None = None
        """The leader's name, and when its leadership ends."""
        self.reports: list[Report] = []
        self.reports_read = 0
        self.server = 0
        """Counts servers: a replica that takes over is another one."""
        self._snapshots: list[_Snapshot] = []
        """What the replica may have received, by half seconds: it may lag behind."""

    # --- what nodes ask --------------------------------------------------------

    def register(self, name: str, incarnation: str) -> Answer:
        """Register an incarnation of a node."""
        record = self.records.get(name)
        if record and record.state == "ready":
            if record.incarnation != incarnation:
                return Answer.NAME_TAKEN
            record.seq += 1
            return Answer.ACCEPTED
        if record and record.incarnation == incarnation:
            return Answer.FENCED
        self.records[name] = Record(incarnation)
        return Answer.ACCEPTED

    def heartbeat(self, name: str, incarnation: str) -> Answer:
        """Renew the lease of an incarnation."""
        record = self.records.get(name)
        if record is None:
            return Answer.UNKNOWN
        if record.incarnation != incarnation or record.state != "ready":
            return Answer.FENCED
        record.seq += 1
        return Answer.ACCEPTED

    # --- what coordinators ask ---------------------------------------------------

    def snapshot(self) -> dict[str, Record]:
        """Return a copy of all records, as one coordinator's tick sees them."""
        return {
            name: Record(it.incarnation, it.state, it.seq, it.assigned)
            for name, it in self.records.items()
        }

    def of(self, name: str, incarnation: str) -> Record | None:
        """Return a node's record if it is still about this incarnation."""
        record = self.records.get(name)
        return record if record and record.incarnation == incarnation else None

    # --- what goes wrong -----------------------------------------------------------

    def replicate(self) -> None:
        """Let the replica receive everything up to now, or to one of the last times."""
        records = {name: replace(it) for name, it in self.records.items()}
        self._snapshots.append(_Snapshot(records, self.term, self.leader, len(self.reports)))
        del self._snapshots[:-MAX_SNAPSHOTS]

    def fail_over(self, random: Random) -> None:
        """Let the replica take over, with what it has received."""
        self.server += 1
        self.records, self.term, self.leader, reports = random.choice(self._snapshots)
        del self.reports[max(reports, self.reports_read) :]
        self._snapshots.clear()

    def flush(self) -> None:
        """Forget everything, unread reports as well."""
        self.records.clear()
        self.term = 0
        self.leader = None
        del self.reports[self.reports_read :]


@dataclass(slots=True)
class Assignment:
    """A session's place on a node, under one epoch."""

    node: str
    incarnation: str
    epoch: int
    state: str


@dataclass(slots=True)
class Sql:
    """The tables that coordinators share."""

    term: int = 0
    generation: int = 0
    active: dict[int, Assignment] = field(default_factory=dict)
    waiting: dict[int, float] = field(default_factory=dict)
    """Session → since when it waits for a node."""
