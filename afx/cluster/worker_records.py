"""The records of worker nodes in Redis, and how they are parsed."""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from afx import process_names
from afx.cluster import fields

WorkerState = Literal[
    "ready", "cordoned", "draining", "replacing", "stopping", "recycling", "fenced", "left"
]
STATES: tuple[WorkerState, ...] = typing.get_args(WorkerState)
ENDED_STATES: tuple[WorkerState, ...] = ("fenced", "left")
LIVE_STATES = tuple(it for it in STATES if it not in ENDED_STATES)
UNREADABLE_SEQ = -1
"""The heartbeat counter of a record whose own is malformed."""
NAME_LIMIT = 100
_INCARNATION_LIMIT = 40
_LABELS_LIMIT = 100
_LABEL_LIMIT = 200
_CPU_LIMIT = 1024.0
_COUNTS = (0, fields.INT32_LIMIT)
_BYTES = (0, fields.EXACT_LIMIT)
_SHARES = (1, process_names.MOST_PROCESSES + 1)
_SIGNED_COUNTS = (-fields.INT32_LIMIT, fields.INT32_LIMIT)
_SIGNED_BYTES = (-fields.EXACT_LIMIT, fields.EXACT_LIMIT)
_INTEGERS = {
    "seq": _BYTES,
    "max_sessions": _COUNTS,
    "assigned": _SIGNED_COUNTS,
    "reserved": _SIGNED_BYTES,
    "rss": _BYTES,
    "ram_free": _SIGNED_BYTES,
    "ram_limit": _BYTES,
    "sessions": _COUNTS,
    "starting": _COUNTS,
    "forwarded": _BYTES,
}
"""Field → from which value on, and below which."""
_TEXTS = {
    "hostname": 255,
    "boot_id": 100,
    "pid_namespace": 100,
    "processes": 4000,
    "ended": _INCARNATION_LIMIT,
    "replaces": _INCARNATION_LIMIT,
    "seen": 40,
    "redis_fault": 40,
}
"""Field → its greatest length."""


@dataclass(slots=True, frozen=True)
class Metrics:
    """What a node reports of itself with each heartbeat."""

    rss: int
    """Bytes used by its processes."""
    ram_free: int
    """Bytes that it may still use."""
    ram_limit: int
    cpu: float
    """Share that it uses of its part of the machine's CPU time, 0 to 1."""
    sessions: int
    """Sessions that run."""
    starting: int
    forwarded: int
    """Messages forwarded since its start."""

    @property
    def load(self) -> float:
        """How full the node is, 0 to 1: its scarcest resource."""
        used = 1 - self.ram_free / self.ram_limit if self.ram_limit else 0.0
        return max(0.0, min(1.0, max(used, self.cpu)))


@dataclass(slots=True, frozen=True)
class Identity:
    """What identifies a node; fixed for one incarnation."""

    name: str
    incarnation: str
    hostname: str
    boot_id: str
    pid_namespace: str
    processes: str
    """``pid:start,…`` of its processes; when all are gone, it is dead."""
    max_sessions: int
    labels: Mapping[str, str] = field(default_factory=dict)
    shares: int = 1
    """How many host processes share the machine of its node."""
    replaces: str = ""
    """The incarnation on the same node of which it takes the sessions."""
    empty_rss: int = 0
    """Bytes that its processes used when it had no session; 0: not known."""


@dataclass(slots=True, frozen=True)
class WorkerView:
    """One node, or one of its host processes, as the registry shows it."""

    name: str
    incarnation: str
    state: WorkerState
    seq: int
    hostname: str
    boot_id: str
    pid_namespace: str
    processes: str
    max_sessions: int
    assigned: int
    reserved: int
    ended: str
    """The previous incarnation of that name, if it left by itself."""
    seen: str
    """The desired state that the node has acknowledged with a heartbeat."""
    metrics: Metrics
    labels: Mapping[str, str] = field(default_factory=dict)
    reconciled_term: int = 0
    """The term of the leader that last set its counts to what SQL says; 0: none has."""
    redis_fault: str = ""
    """What hinders the node's use of Redis: the value of a RedisFault, or none."""
    faults: tuple[str, ...] = ()
    """The fields of its record that are malformed."""
    node: str = ""
    """The node to which this host process belongs."""
    process: int = 1
    """Its number in the node."""
    shares: int = 1
    """How many host processes share the machine of its node."""
    replaces: str = ""
    """The incarnation on the same node of which it takes the sessions."""
    empty_rss: int = 0
    """Bytes that its processes used when it had no session; 0: not known."""


def parse_view(name: str, record: Mapping[str, str]) -> WorkerView:
    """Return a node's record; a field that is malformed gets a harmless value.

    The node stays in sight, full and without a new heartbeat: one that seemed to be
    missing would be replaced while it runs. Raises ValueError for a record that is no
    node's: it has no incarnation, or the name is none that a node can have.
    """
    incarnation = fields.line(record.get("incarnation"), longest=_INCARNATION_LIMIT)
    if not incarnation or not _is_name(name):
        raise ValueError("not a node's record")
    faults: list[str] = []
    numbers: dict[str, int] = {}
    for it, (least, limit) in _INTEGERS.items():
        value = fields.integer(record.get(it), least=least, limit=limit)
        if value is None:
            faults.append(it)
        numbers[it] = value or 0
    if faults:
        numbers["max_sessions"] = max(1, numbers["max_sessions"])
        numbers["assigned"] = max(numbers["assigned"], numbers["max_sessions"])
    texts: dict[str, str] = {}
    for it, longest in _TEXTS.items():
        text = fields.line(record.get(it, ""), longest=longest)
        if text is None:
            faults.append(it)
        texts[it] = text or ""
    cpu = fields.number(record.get("cpu"), limit=_CPU_LIMIT)
    if cpu is None:
        faults.append("cpu")
    labels = _labels(record.get("labels", "{}"))
    if labels is None:
        faults.append("labels")
    state = record.get("state", "")
    if state not in STATES:
        faults.append("state")
    term = fields.integer(record.get("reconciled_term", "0"))
    if term is None:
        faults.append("reconciled_term")
    # Nodes of earlier versions have one process, and do not say so.
    least, limit = _SHARES
    shares = fields.integer(record.get("shares", "1"), least=least, limit=limit)
    if shares is None:
        faults.append("shares")
    empty_rss = fields.integer(record.get("empty_rss", "0"))
    if empty_rss is None:
        faults.append("empty_rss")
    return WorkerView(
        name=name,
        incarnation=incarnation,
        state=state if state in STATES else "cordoned",
        seq=UNREADABLE_SEQ if "seq" in faults else numbers["seq"],
        hostname=texts["hostname"],
        boot_id=texts["boot_id"],
        pid_namespace=texts["pid_namespace"],
        processes=texts["processes"],
        max_sessions=numbers["max_sessions"],
        assigned=numbers["assigned"],
        reserved=numbers["reserved"],
        ended=texts["ended"],
        seen=texts["seen"],
        metrics=Metrics(
            rss=numbers["rss"],
            ram_free=numbers["ram_free"],
            ram_limit=numbers["ram_limit"],
            cpu=cpu or 0.0,
            sessions=numbers["sessions"],
            starting=numbers["starting"],
            forwarded=numbers["forwarded"],
        ),
        labels=labels or {},
        reconciled_term=term or 0,
        redis_fault=texts["redis_fault"],
        faults=tuple(faults),
        node=process_names.node_of(name),
        process=process_names.number_of(name),
        shares=shares or 1,
        replaces=texts["replaces"],
        empty_rss=empty_rss or 0,
    )


def _is_name(text: str) -> bool:
    return bool(text) and fields.line(text, longest=NAME_LIMIT) is not None


def _labels(text: str) -> dict[str, str] | None:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or len(found) > _LABELS_LIMIT:
        return None
    pairs = [*found, *found.values()]
    if any(fields.line(it, longest=_LABEL_LIMIT) is None for it in pairs):
        return None
    return found
