"""The recommendation of how many nodes there should be, as the leader publishes it.

It expires: a reader compares no clocks, it finds a recent recommendation or none.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import redis

from afx.cluster import fields, keys
from afx.cluster.scripts import FencedScript
from afx.cluster.worker_records import NAME_LIMIT

DECISIONS = ("hold", "out", "in")
MOST_NAMED = 50
"""Nodes that are named as those to drain."""
_LONGEST = 64 * 1024
_LONGEST_TEXT = 500
_WORD = re.compile(r"\w[\w.-]*")
"""A node's name, or a process's."""
_COUNTS = ("current", "desired", "needed", "overflow", "min_nodes", "max_nodes")


@dataclass(slots=True, frozen=True)
class ResourceDemand:
    """One resource: what is used and waited for, and how many nodes that fills."""

    demand: float
    node_capacity: float
    nodes: float


@dataclass(slots=True, frozen=True)
class ScalingRecord:
    """How many nodes there should be, and why."""

    decision: str
    """hold, out or in."""
    reason: str
    """One word: what decided."""
    text: str
    """The same in a sentence."""
    current: int
    """Ready nodes."""
    desired: int
    needed: int
    """What the moment's figures ask for."""
    min_nodes: int
    max_nodes: int
    """0: no limit."""
    overflow: int
    """Sessions that have waited long enough for room."""
    oldest_task_seconds: float
    standing_seconds: float
    """For how long it has been recommended and not been done."""
    removable: tuple[str, ...] = ()
    """Nodes to drain, in order."""
    alternatives: tuple[str, ...] = ()
    """Nodes any one of which may be drained instead of the first of them."""
    demands: Mapping[str, ResourceDemand] = field(default_factory=dict)
    """By resource: ram (bytes), sessions, cpu (machines)."""


def publish(client: redis.Redis, record: ScalingRecord, *, term: int, ttl_seconds: float) -> None:
    """Publish a recommendation for some time; raises FencedError in an older term."""
    FencedScript(client, "write_expiring")(
        term, keys=[keys.SCALING], args=[json.dumps(asdict(record)), int(ttl_seconds * 1000)]
    )


def read(client: redis.Redis) -> ScalingRecord | None:
    """Return the recent recommendation; None when there is none, or none that is credible."""
    [text] = client.mget([keys.SCALING])  # answers None for a key of another type
    if not isinstance(text, str) or len(text) > _LONGEST:
        return None
    try:
        return _parsed(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _parsed(found: Any) -> ScalingRecord:
    """Return a record; raises ValueError, TypeError or KeyError for what is none."""
    if found["decision"] not in DECISIONS:
        raise ValueError("not a decision")
    return ScalingRecord(
        decision=found["decision"],
        reason=_line(found["reason"], 40),
        text=_line(found["text"], _LONGEST_TEXT),
        **{it: _count(found[it]) for it in _COUNTS},
        oldest_task_seconds=_number(found["oldest_task_seconds"]),
        standing_seconds=_number(found["standing_seconds"]),
        removable=_names(found["removable"]),
        alternatives=_names(found.get("alternatives", ())),
        demands={
            _line(name, 40): ResourceDemand(
                _number(it["demand"]), _number(it["node_capacity"]), _number(it["nodes"])
            )
            for name, it in found["demands"].items()
        },
    )


def _names(value: Any) -> tuple[str, ...]:
    """Return the names of nodes; a command gets them as words, so what is none is left out."""
    names = (_line(it, NAME_LIMIT) for it in value[:MOST_NAMED])
    return tuple(it for it in names if _WORD.fullmatch(it))


def _line(value: object, longest: int) -> str:
    text = fields.line(value, longest=longest)
    if text is None:
        raise ValueError("not a line of text")
    return text


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < fields.INT32_LIMIT:
        raise ValueError("not a count")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("not a number")
    if not (math.isfinite(value) and 0 <= value < 2.0**63):
        raise ValueError("not a number")
    return float(value)
