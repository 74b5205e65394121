"""When a resource will be full at its trend."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afx.coordinator.decisions.forecast import Trend, forecast

DAY = 86_400.0


def line(per_day: float, start: float = 100.0, days: int = 14) -> list[tuple[float, float]]:
    return [(it * 3600.0, start + per_day * it / 24) for it in range(days * 24)]


def test_a_straight_rise_says_when_it_is_full() -> None:
    found = forecast(line(10), 500)
    assert found.trend is Trend.RISING
    assert found.days == pytest.approx((500 - 100 - 10 * (14 - 1 / 24)) / 10)


def test_a_daily_wave_without_a_rise_is_no_trend() -> None:
    points = [(at, 100 + 50 * math.sin(at / DAY * 2 * math.pi)) for at, _ in line(0)]
    found = forecast(points, 500)
    assert found.trend in (Trend.UNCLEAR, Trend.NOT_RISING)
    assert found.days is None


def test_a_wave_on_a_rise_is_a_rise() -> None:
    points = [(at, value + 20 * math.sin(at / DAY * 2 * math.pi)) for at, value in line(10)]
    found = forecast(points, 500)
    assert found.trend is Trend.RISING
    assert found.days == pytest.approx(26, abs=3)


def test_what_falls_is_never_full_and_what_is_full_is_full_now() -> None:
    assert forecast(line(-1), 500).trend is Trend.NOT_RISING
    assert forecast(line(10), 150).days == 0


def test_without_nodes_nothing_is_full() -> None:
    for per_day in (-1, 0, 10):
        found = forecast(line(per_day), 0)
        assert (found.trend, found.days) == (Trend.NO_LIMIT, None)


def test_noise_on_a_level_line_names_no_day_in_a_million_years() -> None:
    points = [(at, 0.1 + it % 2 * 1e-12 + it * 1e-14) for it, (at, _) in enumerate(line(0))]
    assert forecast(points, 500).days is None
    assert forecast(line(1e-9), 500).trend is Trend.NOT_RISING


def test_too_little_history_says_nothing() -> None:
    assert forecast([], 5).trend is Trend.TOO_SHORT
    assert forecast(line(10)[:9], 500).trend is Trend.TOO_SHORT
    assert forecast([(it, 1.0) for it in range(100)], 500).trend is Trend.TOO_SHORT


@given(
    st.lists(st.tuples(st.floats(0, 1e9), st.floats(0, 1e15)), max_size=50).map(sorted),
    st.floats(0, 1e15),
)
def test_whatever_the_history_is_the_answer_is_a_number_or_none(
    points: list[tuple[float, float]], limit: float
) -> None:
    found = forecast(points, limit)
    assert found.days is None or found.days >= 0
    assert 0 <= found.fit <= 1
