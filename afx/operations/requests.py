"""What a request for a control returns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Requested:
    """What came of a request: a control to wait for, unless nothing had to be done."""

    target: str
    control: int | None
    note: str = ""
