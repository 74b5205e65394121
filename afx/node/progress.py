"""What a session has settled, and what is to be stored of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from afx.forwarding.pipeline import Delivery
from afx.node.alerts import AlertOf
from afx.node.dead_letters import DeadGroup
from afx.node.held_reports import HeldReport
from afx.node.rule_counts import RuleCounts


@dataclass(slots=True, frozen=True)
class Link:
    """A source message and its copy."""

    delivery: Delivery
    copy: int


@dataclass(slots=True, frozen=True)
class Progress:
    """What a session has settled since the last commit."""

    cursor: list[str]
    """Fields and values of its cursor hash, in turn."""
    links: Sequence[Link]
    entities: dict[str, str]
    """Access hashes, by chat."""
    intents: dict[int, str] = field(default_factory=dict)
    """Batches under way to guarded channels; "" for one that has ended."""
    dead: Sequence[DeadGroup] = ()
    """What has become dead letters, and what is none any more."""
    held: Sequence[HeldReport] = ()
    """What waits for an operator's approval, and what does so no more."""
    alerts: Sequence[AlertOf] = ()
    """Messages that webhooks are told of."""


@dataclass(slots=True)
class Totals:
    """What a host counts over all of its sessions."""

    rules: RuleCounts
    forwarded: int = 0
    arrivals: int = 0
    """Packets with updates that sessions were pushed."""
