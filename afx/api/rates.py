"""How often one may ask: token buckets by name, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass

_MOST = 10_000


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float
    """Monotonic seconds."""


class RateLimit:
    """Allows each name so many requests a second, and ``burst`` at once."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._rate = per_second
        self._burst = burst
        self._buckets: dict[str, _Bucket] = {}

    def seconds_until_free(self, name: str, now: float) -> float:
        """Take one request; returns 0, or the seconds after which the next is allowed.

        A rate of 0 allows everything.
        """
        if self._rate <= 0:
            return 0.0
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = _Bucket(self._burst, now)
            if len(self._buckets) > _MOST:
                self._forget(now)
        bucket.left = min(self._burst, bucket.left + (now - bucket.at) * self._rate)
        bucket.at = now
        if bucket.left >= 1:
            bucket.left -= 1
            return 0.0
        return (1 - bucket.left) / self._rate

    def _forget(self, now: float) -> None:
        """Drop the buckets that are full again; if all are in use, the oldest half."""
        full = self._burst / self._rate
        kept = {k: it for k, it in self._buckets.items() if now - it.at < full}
        if len(kept) > _MOST // 2:
            newest = sorted(kept.items(), key=lambda it: it[1].at)[-_MOST // 2 :]
            kept = dict(newest)
        self._buckets = kept
