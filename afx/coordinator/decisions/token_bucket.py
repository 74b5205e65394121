"""A token bucket, as a value: it limits how fast a node starts sessions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Bucket:
    """Tokens at an instant (monotonic seconds)."""

    tokens: float
    at: float


def refilled(bucket: Bucket, now: float, rate: float, burst: int) -> Bucket:
    """Return the bucket at a later instant."""
    return Bucket(min(float(burst), bucket.tokens + max(0.0, now - bucket.at) * rate), now)


def spent(bucket: Bucket, count: int) -> Bucket:
    """Return the bucket with ``count`` tokens taken out."""
    return Bucket(bucket.tokens - count, bucket.at)
