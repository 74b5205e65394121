"""What a host counts of each rule."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from afx.clock import Clock
from afx.cluster.rule_counts import RuleTally
from afx.forwarding.hours import Hours
from afx.forwarding.options import Options
from afx.forwarding.pipeline import Delivery
from afx.forwarding.rules import Route
from afx.node.rule_counts import RuleCounts

ROUTES = (Route(1, -5, "copy"), Route(1, -6, "copy"), Route(2, -5, "copy"))
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def counted(age: float = 0.0) -> tuple[RuleCounts, list[float]]:
    """Return counts, and the monotonic clock; the wall clock is so long after noon."""
    now = [100.0]
    clock = Clock(monotonic=lambda: now[0], time=lambda: NOON.timestamp() + age)
    return RuleCounts(clock), now


def delivery(rule: int = 1, posted: datetime | None = NOON) -> Delivery:
    return Delivery(rule, "copy", -1, 2, -5, 3, "", (), False, posted=posted)


def test_a_message_that_no_filter_takes_counts_once_for_each_rule() -> None:
    counts, _ = counted()
    for _ in range(3):
        counts.skipped(ROUTES)
    counts.skipped(ROUTES, ROUTES[:2])
    assert counts.take() == {1: RuleTally(skipped=3), 2: RuleTally(skipped=4)}
    assert not counts.take()


def test_a_latency_counts_from_when_the_message_came() -> None:
    counts, now = counted(age=1.0)
    taken = counts.now()
    now[0] += 0.005
    counts.forwarded(delivery(), taken)
    counts.forwarded(delivery(), taken)
    assert counts.take() == {1: RuleTally(forwarded=2, latencies={3: 2})}


def test_a_message_that_was_missed_or_waited_counts_from_when_it_was_posted() -> None:
    for taken in (100.0, 0.0):
        counts, _ = counted(age=60.0)
        counts.forwarded(delivery(), taken)
        assert counts.take()[1].latencies == {16: 1}  # 32.8 s to 65.5 s


def test_the_time_for_which_a_rule_holds_messages_back_is_no_latency() -> None:
    night = Hours(((time(11), time(13)),), UTC)  # it was posted at noon
    for options, age in (
        (Options(delay=600), 601),
        (Options(quiet_hours=night), 3_601),
        (Options(delay=600, quiet_hours=night), 3_601),
        (Options(delay=3_600, quiet_hours=night), 3_601),
        (Options(delay=7_200, quiet_hours=night), 7_201),
    ):
        counts, _ = counted(age=age)
        counts.forwarded(delivery(), 0.0, options)
        assert counts.take()[1].latencies == {10: 1}, "512 ms to 1.024 s"


def test_a_message_without_a_time_counts_without_one() -> None:
    counts, _ = counted()
    counts.forwarded(delivery(posted=None), 0.0)
    assert counts.take()[1].latencies == {0: 1}


def test_a_clock_that_is_behind_telegrams_does_no_harm() -> None:
    counts, _ = counted()
    counts.forwarded(delivery(posted=NOON + timedelta(hours=1)), 0.0)
    assert counts.take()[1].latencies == {0: 1}


def test_waits_are_summed_by_rule() -> None:
    counts, _ = counted()
    counts.waited({1, 2}, 2.5)
    counts.waited({1}, 1.0)
    assert counts.take() == {
        1: RuleTally(waits=2, waited_ms=3500),
        2: RuleTally(waits=1, waited_ms=2500),
    }
