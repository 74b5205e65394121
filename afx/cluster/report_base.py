"""What all reports of nodes say: who reports, and about which session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(slots=True, frozen=True, kw_only=True)
class NodeReport:
    """The node that reports, and its incarnation."""

    kind: ClassVar[str]
    node: str
    incarnation: str


@dataclass(slots=True, frozen=True, kw_only=True)
class SessionReport(NodeReport):
    """What a report about one session says: under which epoch."""

    session_id: int
    epoch: int
