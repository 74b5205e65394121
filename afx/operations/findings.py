"""What a check of an installation finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Grade = Literal["ok", "warn", "fail"]


@dataclass(slots=True, frozen=True)
class Finding:
    """What one check found."""

    area: str
    grade: Grade
    what: str
    remedy: str = ""
