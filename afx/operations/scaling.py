"""Scaling: how many nodes the cluster needed, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from afx.operations.context import Context, operation
from afx.operations.pages import Page, page_of
from models.storage import scaling


@dataclass(slots=True, frozen=True)
class ScalingRow:
    """One change of the recommendation."""

    id: int
    at: datetime
    decision: str
    current: int
    desired: int
    reason: str
    figures: Mapping[str, Any]


@operation("scaling:read")
def listing(context: Context, *, after: int | None = None, limit: int = 100) -> Page[ScalingRow]:
    """Return recommendations, the newest first."""
    del context
    return page_of(ScalingRow, scaling.listing(before=after, limit=limit))
