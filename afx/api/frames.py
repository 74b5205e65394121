"""What the hub of live events keeps."""

from __future__ import annotations

from dataclasses import dataclass

from afx.operations.cluster import ActivitySample, ClusterStatus


@dataclass(slots=True, frozen=True)
class Frame:
    """One event as it is sent."""

    number: int
    topic: str
    data: bytes


@dataclass(slots=True, frozen=True)
class Snapshot:
    """The cluster when it was last read."""

    at: float
    """Unix seconds."""
    status: ClusterStatus
    sample: ActivitySample
