"""How assignments and reservations are written for the Lua scripts."""

from __future__ import annotations

import json
from dataclasses import dataclass

from afx.cluster.worker_records import WorkerView
from afx.config import Settings
from afx.coordinator.decisions.placement import Placement
from models.storage.assignments import Active

_MIB = 1024 * 1024


@dataclass(slots=True, frozen=True)
class Headroom:
    """RAM of a node that is never promised to sessions; the larger one counts."""

    bytes: int = 0
    share: float = 0.0

    @classmethod
    def from_settings(cls, settings: Settings) -> Headroom:
        """Return the headroom that the settings ask for."""
        return cls(settings.ram_headroom_mib * _MIB, settings.ram_headroom_share)

    def of(self, node: WorkerView) -> int:
        """Return the headroom in bytes of a host process: its part of its node's."""
        return max(self.bytes // node.shares, int(self.share * node.metrics.ram_limit))


def place_item(active: Active, needed: int, headroom: Headroom) -> str:
    """Return an assignment that needs so many bytes, as ``place.lua`` reads it."""
    return json.dumps(
        [
            active.session,
            active.worker,
            active.incarnation,
            active.epoch,
            needed,
            headroom.bytes,
            headroom.share,
        ]
    )


def release_item(active: Active) -> str:
    """Return an assignment as ``release.lua`` and ``restore.lua`` read it."""
    return json.dumps([active.session, active.worker, active.incarnation, active.epoch])


def reserve_item(it: Placement, headroom: Headroom, premium_share: float = 0.0) -> str:
    """Return room to reserve as ``reserve.lua`` reads it.

    ``premium_share`` of the node's RAM is not for this session.
    """
    return json.dumps(
        [
            it.session,
            it.node,
            it.incarnation,
            it.bytes,
            headroom.bytes,
            headroom.share,
            premium_share,
        ]
    )


def unreserve_item(it: Placement) -> str:
    """Return room to give back as ``unreserve.lua`` reads it."""
    return json.dumps([it.session, it.node, it.incarnation])
