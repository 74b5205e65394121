"""When a session that failed is tried again."""

from __future__ import annotations

from afx.coordinator.decisions.retry_policy import pause_seconds


def test_pauses_grow_with_each_failure_up_to_half_an_hour() -> None:
    pauses = [pause_seconds(it) for it in range(1, 20)]
    assert pauses[:4] == [1, 2, 5, 10]
    assert pauses == sorted(pauses) and max(pauses) == 1800
