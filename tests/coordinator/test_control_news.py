"""News of controls: at once for who has clicked, and few while very many change."""

from __future__ import annotations

import redis as redis_module

from afx.cluster import events
from afx.coordinator.control_news import ControlNews


def counts(redis: redis_module.Redis) -> list[int]:
    """Return how many controls each announcement is about, the oldest first."""
    return [it["changed"] for it in reversed(events.recent(redis, 1000))]


def test_a_few_changes_are_announced_at_once(redis: redis_module.Redis) -> None:
    news = ControlNews(redis)
    for tick in range(4):
        news.step(1, tick * 0.2)
    assert counts(redis) == [1] * 4


def test_very_many_changes_push_no_other_event_out_of_the_stream(
    redis: redis_module.Redis,
) -> None:
    news = ControlNews(redis)
    for tick in range(300):  # a minute
        news.step(10, tick * 0.2)
    assert len(counts(redis)) <= 66
    news.step(0, 61.0)
    assert sum(counts(redis)) == 3000, "what changed last is announced, too"
