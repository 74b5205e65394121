"""When rounds of placement are due."""

from __future__ import annotations

from afx.coordinator.placement_schedule import PlacementSchedule, Round

ALL = Round(None)


def schedule(cool_down: float = 0.2, most: int = 10) -> PlacementSchedule:
    """Return one whose first full round, at 100.2, is done."""
    made = PlacementSchedule(100.0, cool_down_seconds=cool_down, tick_seconds=0.1, most=most)
    made.finish(ALL, 100.2, read_seconds=0.0, again=False)
    return made


def test_a_new_leader_waits_for_a_cool_down_before_its_first_round() -> None:
    made = PlacementSchedule(100.0, cool_down_seconds=0.2, tick_seconds=0.1, most=10)
    assert made.next_round(100.1, ()) is None
    assert made.next_round(100.2, ()) == ALL


def test_a_full_round_is_due_each_second() -> None:
    made = schedule()
    assert made.next_round(101.1, (1,)) is None
    assert made.next_round(101.2, (1,)) == ALL


def test_full_rounds_that_take_long_are_due_less_often() -> None:
    made = schedule()
    made.finish(ALL, 200.0, read_seconds=0.5, again=False)
    assert made.next_round(204.9, ()) is None
    assert made.next_round(205.0, ()) == ALL


def test_a_full_round_follows_when_something_may_fit_now() -> None:
    made = schedule()
    made.finish(ALL, 200.0, read_seconds=0.5, again=True)
    assert made.next_round(200.1, ()) == ALL


def test_a_session_that_ended_is_considered_with_the_overflow_after_its_cool_down() -> None:
    made = schedule()
    made.note_ended([1], 100.5)
    assert made.is_cooling(1, 100.6) and made.next_round(100.6, (7,)) is None
    due = made.next_round(100.7, (7,))
    assert due == Round(frozenset({1, 7}))
    made.finish(due, 100.7, read_seconds=0.0, again=False)
    assert not made.has_ended_sessions()
    assert made.next_round(100.8, (7,)) is None


def test_a_session_in_its_cool_down_stays_through_the_rounds_in_between() -> None:
    made = schedule()
    made.note_ended([1], 100.5)
    made.note_ended([2], 100.6)
    made.finish(Round(frozenset({1})), 100.7, read_seconds=0.0, again=False)
    assert made.next_round(100.8, ()) == Round(frozenset({2}))


def test_sessions_that_were_placed_or_removed_need_no_round() -> None:
    made = schedule()
    made.note_ended([1, 2], 100.5)
    made.note_gone([1, 2])
    assert made.next_round(100.9, ()) is None


def test_a_round_for_too_many_sessions_considers_all() -> None:
    made = schedule(most=2)
    made.note_ended([1, 2, 3], 100.5)
    assert made.next_round(100.7, ()) == ALL
