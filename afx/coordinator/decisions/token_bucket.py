"""How fast a node may be given sessions: a token bucket, as a value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Bucket:
    """Tokens at a moment (monotonic seconds)."""

    tokens: float
    at: float


def refilled(bucket: Bucket, now: float, rate: float, burst: int) -> Bucket:
    """Return the bucket after the time since its moment."""
    return Bucket(min(float(burst), bucket.tokens + max(0.0, now - bucket.at) * rate), now)


def spent(bucket: Bucket, count: int) -> Bucket:
    """Return the bucket with ``count`` tokens taken out."""
    return Bucket(bucket.tokens - count, bucket.at)
