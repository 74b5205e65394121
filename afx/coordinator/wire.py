"""How placements and releases are written for the Lua scripts."""

from __future__ import annotations

import json

from afx.coordinator.decisions.placement import Placement
from models.storage.assignments import Active


def place_item(
    active: Active, needed: int, headroom: int, headroom_share: float, kept_share: float = 0.0
) -> str:
    """Return an assignment as ``place.lua`` reads it; sizes in bytes.

    ``kept_share`` of the node's RAM is not for this one.
    """
    return json.dumps(
        [
            active.session,
            active.worker,
            active.incarnation,
            active.epoch,
            needed,
            headroom,
            headroom_share,
            kept_share,
        ]
    )


def reserve_item(
    it: Placement, headroom: int, headroom_share: float, kept_share: float = 0.0
) -> str:
    """Return a place to be kept free, as ``place.lua`` and ``unreserve.lua`` read it."""
    return json.dumps(
        [it.session, it.node, it.incarnation, 0, it.bytes, headroom, headroom_share, kept_share]
    )


def release_item(active: Active) -> str:
    """Return an assignment as ``release.lua`` reads it."""
    return json.dumps([active.session, active.worker, active.incarnation, active.epoch])
