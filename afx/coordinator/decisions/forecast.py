"""When a resource will be full, if it goes on as it did: a straight line through its history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

_LEAST_POINTS = 10
_LEAST_SECONDS = 3600.0
_CLEAR = 0.3
"""The least share of the variance that a trend explains (R²)."""
_DAY = 86_400.0
_FAR_DAYS = 3650
"""What would be full later does not rise: noise makes a line that is not level."""


class Trend(StrEnum):
    """What the history says."""

    RISING = "rising"
    NOT_RISING = "not rising"
    UNCLEAR = "unclear"
    """It goes up and down more than it rises."""
    TOO_SHORT = "too short"
    NO_LIMIT = "no limit"
    """There are no nodes that could be full."""


@dataclass(slots=True, frozen=True)
class Forecast:
    """One resource."""

    trend: Trend
    used: float
    """Where the line is now."""
    limit: float
    per_day: float
    days: float | None
    """Until it is full; None when that is not to be seen."""
    fit: float
    """R², 0 to 1."""


def forecast(points: Sequence[tuple[float, float]], limit: float) -> Forecast:
    """Return when a limit is reached, by least squares through (seconds, used) in order."""
    if not points:
        return Forecast(Trend.TOO_SHORT, 0.0, limit, 0.0, None, 0.0)
    last = points[-1]
    if len(points) < _LEAST_POINTS or last[0] - points[0][0] < _LEAST_SECONDS:
        return Forecast(Trend.TOO_SHORT, last[1], limit, 0.0, None, 0.0)
    count = len(points)
    mean_at = sum(at for at, _ in points) / count
    mean = sum(value for _, value in points) / count
    spread = sum((at - mean_at) ** 2 for at, _ in points)
    total = sum((value - mean) ** 2 for _, value in points)
    slope = sum((at - mean_at) * (value - mean) for at, value in points) / spread
    used = mean + slope * (last[0] - mean_at)
    fit = min(1.0, slope * slope * spread / total) if total > 0 else 1.0
    per_day = slope * _DAY
    if limit <= 0:
        return Forecast(Trend.NO_LIMIT, used, limit, per_day, None, fit)
    if used >= limit:
        return Forecast(Trend.RISING, used, limit, per_day, 0.0, fit)
    if per_day <= 0 or limit - used > per_day * _FAR_DAYS:
        return Forecast(Trend.NOT_RISING, used, limit, per_day, None, fit)
    if fit < _CLEAR:
        return Forecast(Trend.UNCLEAR, used, limit, per_day, None, fit)
    return Forecast(Trend.RISING, used, limit, per_day, (limit - used) / per_day, fit)
