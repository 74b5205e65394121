"""Hours in which nothing is sent end when their zone's clocks say so."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afx.forwarding.hours import compile_hours, span, wrong_quiet


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def end(now: str, *hours: str, zone: str = "UTC") -> str:
    found = compile_hours({"hours": list(hours), "zone": zone}).until(at(now))
    return datetime.fromtimestamp(found, UTC).strftime("%d %H:%M")


def test_a_time_in_a_span_waits_for_its_end_and_another_one_does_not() -> None:
    assert end("2026-03-06 23:30", "22:00-06:00") == "07 06:00"
    assert end("2026-03-06 05:59", "22:00-06:00") == "06 06:00"
    assert end("2026-03-06 06:00", "22:00-06:00") == "06 06:00"
    assert end("2026-03-06 21:59", "22:00-06:00") == "06 21:59"
    assert end("2026-03-06 12:30", "12:00-13:00", "22:00-06:00") == "06 13:00"


def test_spans_that_follow_each_other_are_one() -> None:
    assert end("2026-03-06 23:00", "22:00-02:00", "02:00-06:00", "06:00-07:30") == "07 07:30"


def test_the_zone_and_its_summer_time_count() -> None:
    berlin = "Europe/Berlin"
    assert end("2026-01-15 21:30", "22:00-06:00", zone=berlin) == "16 05:00"
    assert end("2026-07-15 20:30", "22:00-06:00", zone=berlin) == "16 04:00"
    assert end("2026-07-15 19:30", "22:00-06:00", zone=berlin) == "15 19:30"
    # The night in which 02:30 is not there, and that in which it is there twice.
    assert end("2026-03-29 00:30", "22:00-02:30", zone=berlin) in ("29 01:30", "29 01:00")
    assert end("2026-10-24 23:30", "22:00-02:30", zone=berlin) == "25 00:30"
    assert end("2026-10-25 01:15", "22:00-02:30", zone=berlin) == "25 01:30"


@given(
    st.lists(
        st.from_regex(
            r"([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]", fullmatch=True
        ),
        min_size=1,
        max_size=4,
    ),
    st.integers(1_700_000_000, 1_900_000_000),
    st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu"]),
)
def test_they_end_within_two_days_and_outside_of_all_spans(
    hours: list[str], now: int, zone: str
) -> None:
    value = {"hours": hours, "zone": zone}
    if wrong_quiet(value):
        return
    made = compile_hours(value)
    found = made.until(now)
    assert now <= found <= now + 2 * 86_400
    assert made.until(found) == found


def test_the_whole_day_and_what_is_no_span_are_refused() -> None:
    assert wrong_quiet({"hours": ["00:00-00:00"]})
    assert wrong_quiet({"hours": ["06:00-18:00", "18:00-06:00"]})
    assert not wrong_quiet({"hours": ["06:00-18:00", "18:01-06:00"]})
    with pytest.raises(ValueError, match="no span"):
        span("8-9")
