"""How old the oldest sample of the nodes' metrics is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from models.base import utc_now
from models.storage import analytics
from models.storage.analytics import Sample


def test_the_oldest_row_of_each_span_is_found(database: Any) -> None:
    assert analytics.oldest(analytics.RAW) is None
    now = utc_now()
    for minutes in (5, 90):
        at = now - timedelta(minutes=minutes)
        analytics.sample_many([Sample("w1", 1, 0.0, 0, 0, 0.0)], at)
    oldest = analytics.oldest(analytics.RAW)
    assert oldest is not None
    assert abs((now - oldest).total_seconds() - 5400) < 1
    assert analytics.oldest(analytics.HOUR) is None
