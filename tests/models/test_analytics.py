"""Metrics over time: rolled up without loss, kept within bounds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models import base, paging
from models.analytics_tables import WorkerAnalytics
from models.storage import analytics, retention
from models.storage.analytics import Retention, Sample
from models.storage.retention import Kept

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def sample(worker: str, at: datetime, rss: int = 100, forwarded: int = 1) -> None:
    with base.transaction():
        analytics.sample_many([Sample(worker, rss, 0.5, 2, forwarded, 0.25)], at)


def spans() -> dict[int, int]:
    counts: dict[int, int] = {}
    for (span,) in WorkerAnalytics.select(WorkerAnalytics.span).tuples():
        counts[span] = counts.get(span, 0) + 1
    return counts


def rolled(now: datetime, most: int = 1000) -> None:
    while analytics.roll_up(most, now):
        pass


def test_samples_are_rolled_up_to_minutes_and_minutes_to_hours(database: Any) -> None:
    for second in range(0, 7200, 20):
        sample("w1", NOON + timedelta(seconds=second), rss=second, forwarded=2)
    rolled(NOON + 3 * HOUR)
    assert spans() == {0: 360, 60: 120, 3600: 2}
    first = WorkerAnalytics.get((WorkerAnalytics.span == 60) & (WorkerAnalytics.at == NOON))
    assert (first.samples, first.rss, first.rss_max, first.forwarded) == (3, 20, 40, 6)
    hour = WorkerAnalytics.get((WorkerAnalytics.span == 3600) & (WorkerAnalytics.at == NOON))
    assert (hour.samples, hour.rss, hour.rss_max, hour.forwarded) == (180, 1790, 3580, 360)


def test_rolling_up_in_small_batches_or_twice_gives_the_same_rows(database: Any) -> None:
    for second in range(0, 600, 10):
        for worker in ("w1", "w2"):
            sample(worker, NOON + timedelta(seconds=second))
    rolled(NOON + HOUR, most=7)
    assert spans() == {0: 120, 60: 20}
    base.execute("UPDATE cluster_state SET minutes_to = NULL")
    rolled(NOON + HOUR)
    assert spans() == {0: 120, 60: 20}
    total = sum(it.forwarded for it in WorkerAnalytics.select().where(WorkerAnalytics.span == 60))
    assert total == 120


def test_an_incomplete_minute_is_not_rolled_up(database: Any) -> None:
    sample("w1", NOON)
    rolled(NOON + timedelta(seconds=65))
    assert spans() == {0: 1}
    rolled(NOON + timedelta(seconds=75))
    assert spans() == {0: 1, 60: 1}


def test_a_summary_is_the_same_before_and_after_the_roll_up(database: Any) -> None:
    for second in range(0, 4 * 86400, 1800):
        sample("w1", NOON + timedelta(seconds=second), rss=second % 7, forwarded=3)
    sample("w2", NOON + timedelta(hours=1))
    end = NOON + timedelta(days=4)
    before = analytics.summary(NOON, end)
    rolled(end + HOUR)
    after = analytics.summary(NOON, end)
    for rows in (before, after):
        for it in rows:
            # What is left of it is a mean of whole numbers of whole numbers.
            del it["rss"], it["last"]
    assert after == before
    assert [(it["worker"], it["samples"], it["forwarded"]) for it in after] == [
        ("w1", 192, 576),
        ("w2", 1, 1),
    ]


def test_a_series_is_read_by_pages(database: Any) -> None:
    for second in range(10):
        sample("w1", NOON + timedelta(seconds=second))
        sample("w2", NOON + timedelta(seconds=second))
    end = NOON + HOUR
    page = analytics.series(NOON, end, worker="w1", limit=6)
    rest = analytics.series(NOON, end, worker="w1", after=page.next, limit=6)
    assert (len(page.rows), len(rest.rows), rest.next) == (6, 4, None)
    assert analytics.series(NOON, end, span=60).rows == []
    for limit in (1, 2, 3, 7, 100):
        rows = paging.every(lambda after, _: analytics.series(NOON, end, after=after, limit=limit))  # noqa: B023
        assert len({(it["worker"], it["at"]) for it in rows}) == 20


def test_a_series_continues_from_coarse_rows_to_fine_ones(database: Any) -> None:
    for second in range(0, 3600, 10):
        sample("w1", NOON + timedelta(seconds=second))
    rolled(NOON + timedelta(minutes=45, seconds=10))
    end = NOON + HOUR
    for limit in (1, 50, 1000):
        rows = list(
            paging.every(lambda after, _: analytics.series(NOON, end, after=after, limit=limit))  # noqa: B023
        )
        assert [it["span"] for it in rows] == [60] * 45 + [0] * 90
        assert sum(it["samples"] for it in rows) == 360


def test_old_samples_are_deleted_after_their_roll_up(database: Any) -> None:
    for second in range(0, 7200, 60):
        sample("w1", NOON + timedelta(seconds=second))
    keep = Retention(timedelta(minutes=30), timedelta(days=1), timedelta(days=2))
    now = NOON + 2 * HOUR
    with base.transaction():
        assert analytics.prune(keep, 1000, now) == 0  # nothing is rolled up yet
    rolled(now)
    with base.transaction():
        assert analytics.prune(keep, 50, now) == 50
        assert analytics.prune(keep, 1000, now) == 40
    assert spans()[0] == 30
    rolled(now + timedelta(days=3))
    with base.transaction():
        analytics.prune(keep, 1000, now + timedelta(days=3))
    assert spans() == {}


def test_maintenance_ends_when_nothing_is_left_to_do(database: Any) -> None:
    begin = base.utc_now() - timedelta(days=3)
    for minute in range(200):
        sample("w1", begin + timedelta(minutes=minute))
    day = timedelta(days=1)
    kept = Kept(Retention(HOUR, day, 400 * day), 90 * day)
    for _ in range(100):
        if not retention.maintain(kept, 37):
            break
    else:
        pytest.fail("it never ends")
    assert set(spans()) == {3600}
    assert sum(it.samples for it in WorkerAnalytics.select()) == 200
