"""When tasks have the loop: not while a message is on its way through it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from afx.tasks.turns import MOST_SECONDS, TURNS_OF_A_FORWARD, Turns, turns_left


class Loop:
    """A loop whose turns take a time, and in whose turns messages arrive."""

    def __init__(self, arrivals: Iterable[int] = (), *, seconds: float = 0.0001) -> None:
        """``arrivals`` is how many messages arrive in each of the next turns."""
        self._coming = list(arrivals)
        self._seconds = seconds
        self.now = 1000.0
        self.passed = 0
        self.arrived = 7
        self.turns = Turns(lambda: self.arrived, lambda: self.now, self._turn)

    async def _turn(self) -> None:
        self.passed += 1
        self.now += self._seconds
        self.arrived += self._coming.pop(0) if self._coming else 0

    def passed_until_next(self) -> int:
        """Let tasks wait for a turn of their own; returns how many turns that took."""
        before = self.passed
        asyncio.run(self.turns.next())
        return self.passed - before


@pytest.mark.parametrize(
    ("left", "arrived", "after"),
    [
        (0, False, 0),
        (1, False, 0),
        (3, False, 2),
        (0, True, TURNS_OF_A_FORWARD),
        (3, True, TURNS_OF_A_FORWARD),
    ],
)
def test_a_message_has_so_many_turns_to_itself(left: int, arrived: bool, after: int) -> None:
    assert turns_left(left, arrived) == after


def test_without_messages_tasks_have_every_turn() -> None:
    loop = Loop()
    assert [loop.passed_until_next() for _ in range(3)] == [1, 1, 1]


def test_a_message_that_arrives_goes_through_the_loop_before_the_next_task() -> None:
    loop = Loop([0, 1])
    assert loop.passed_until_next() == 1
    assert loop.passed_until_next() == 1 + TURNS_OF_A_FORWARD
    assert loop.passed_until_next() == 1


def test_a_second_message_begins_anew() -> None:
    assert Loop([1, 0, 1]).passed_until_next() == 3 + TURNS_OF_A_FORWARD


def test_tasks_go_on_slowly_where_messages_arrive_all_the_time() -> None:
    loop = Loop([1] * 10_000, seconds=0.001)
    assert loop.passed_until_next() == pytest.approx(MOST_SECONDS / 0.001, abs=1)
    assert loop.passed_until_next() == pytest.approx(MOST_SECONDS / 0.001, abs=1)


def test_what_has_arrived_before_tasks_came_is_waited_for() -> None:
    loop = Loop()
    loop.arrived += 1
    assert loop.passed_until_next() == 1 + TURNS_OF_A_FORWARD
