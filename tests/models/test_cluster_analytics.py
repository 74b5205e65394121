"""The cluster's metrics: minutes, hours, and what becomes of old ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from models import base
from models.analytics_tables import ClusterAnalytics
from models.storage import cluster_analytics, rules, sessions
from models.storage.cluster_analytics import Moment
from models.tables import Session

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def minute(at: datetime, used: int, *more: int) -> None:
    moments = [Moment(2, it, 100, it * 10, 1000, 0.5, it, 3) for it in (used, *more)]
    with base.transaction():
        cluster_analytics.record(moments, since=at - MINUTE, at=at, desired=3)


def count(span: int) -> int:
    return int(ClusterAnalytics.select().where(ClusterAnalytics.span == span).count())


def test_a_minute_has_means_maxima_and_sums(database: Any) -> None:
    minute(NOON + timedelta(seconds=30), 10, 20)
    [row] = cluster_analytics.series(NOON - HOUR, NOON + HOUR)
    assert (row["at"], row["samples"], row["desired"]) == (NOON, 2, 3)
    assert (row["sessions"], row["sessions_max"], row["ram_used"]) == (15, 20, 150)
    assert (row["forwarded"], row["waiting_max"]) == (6, 20)


def test_a_minute_is_stored_once_whatever_the_clock_does(database: Any) -> None:
    minute(NOON, 10)
    minute(NOON, 99)
    assert [it["sessions"] for it in cluster_analytics.series(NOON - HOUR, NOON + HOUR)] == [10]


def test_whole_hours_are_rolled_up_once_and_nothing_is_lost(database: Any) -> None:
    for it in range(150):
        minute(NOON + it * MINUTE, it)
    assert cluster_analytics.roll_up(NOON + 150 * MINUTE) == 2
    assert cluster_analytics.roll_up(NOON + 150 * MINUTE) == 0
    rows = cluster_analytics.series(NOON - 3 * DAY, NOON + DAY)
    assert [it["span"] for it in rows] == [3600] * 2 + [60] * 30
    assert rows[0]["sessions"] == sum(range(60)) / 60
    assert rows[0]["forwarded"] == 180
    minute(NOON + 190 * MINUTE, 1)
    assert cluster_analytics.roll_up(NOON + 4 * HOUR + 5 * MINUTE) == 2


def test_sessions_that_are_asleep_are_counted_also_by_the_hour(
    database: Any, ids: list[int]
) -> None:
    minute(NOON, 1)
    Session.update(desired_state="hibernated").where(Session.id.in_(ids[:2])).execute()
    minute(NOON + MINUTE, 1)
    rows = cluster_analytics.series(NOON - HOUR, NOON + HOUR)
    assert [it["hibernated"] for it in rows] == [0, 2]
    cluster_analytics.roll_up(NOON + 2 * HOUR)
    assert cluster_analytics.series(NOON - 3 * DAY, NOON + DAY)[0]["hibernated"] == 1


def test_minutes_are_pruned_only_after_they_were_rolled_up(database: Any) -> None:
    for it in range(90):
        minute(NOON + it * MINUTE, it)
    later = NOON + 30 * DAY
    assert cluster_analytics.prune(DAY, 400 * DAY, 1000, later) == 0
    cluster_analytics.roll_up(NOON + 91 * MINUTE)
    assert cluster_analytics.prune(DAY, 400 * DAY, 1000, later) == 0  # the hour's edge
    cluster_analytics.roll_up(later)
    assert cluster_analytics.prune(DAY, 400 * DAY, 20, later) == 20
    cluster_analytics.prune(DAY, 400 * DAY, 1000, later)
    assert count(60) < 90
    assert cluster_analytics.prune(DAY, 400 * DAY, 1000, NOON + 500 * DAY) > 0
    assert count(3600) == 0


def test_rules_are_counted_by_what_they_are(database: Any, ids: list[int]) -> None:
    rules.change(rules.find("s1/r"), enabled=False)
    found = rules.counts()
    assert (found["rules"], found["enabled"], found["copy"], found["forward"]) == (3, 2, 3, 0)
    assert found["troubled"] == 0
    assert sessions.count() == 3
