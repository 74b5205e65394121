"""Why nothing was made of a batch that the senders of a pool were to make."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Stopped:
    """Nothing was made of a batch for now."""

    wait: float = 0.0
    """Seconds after which it is tried again."""
    count: int = 1
    """How many of the first deliveries have to wait for that, and for the same sender."""
    is_foreign: bool = False
    """Another node has the session."""
