"""What became of messages, as it is summed and stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

COUNTS = ("forwarded", "skipped", "dead", "waits", "waited_ms")


@dataclass(slots=True)
class RuleCount:
    """What became of messages of one rule, over a time."""

    rule: int
    forwarded: int = 0
    skipped: int = 0
    """Its filter did not take them."""
    dead: int = 0
    """Became dead letters."""
    waits: int = 0
    """How often Telegram wanted no sends to one of its destinations for a time."""
    waited_ms: int = 0
    latencies: dict[int, int] = field(default_factory=dict)
    """Bucket → messages."""

    def add(self, other: RuleCount) -> None:
        """Add the counts of another time."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for bucket, count in other.latencies.items():
            self.latencies[bucket] = self.latencies.get(bucket, 0) + count


def encode(latencies: Mapping[int, int]) -> str:
    """Return counts of latencies as they are stored, for example ``3:12,4:7``."""
    return ",".join(f"{bucket}:{count}" for bucket, count in sorted(latencies.items()))


def decode(text: str) -> dict[int, int]:
    """Return stored counts of latencies."""
    parts = (it.partition(":") for it in text.split(",") if it)
    return {int(bucket): int(count) for bucket, _, count in parts}
