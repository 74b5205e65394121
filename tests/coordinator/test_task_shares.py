"""How much of a queue's room each user gets."""

from __future__ import annotations

from collections import Counter

import pytest

from afx.coordinator.decisions.task_shares import Turn, shares


def test_room_is_given_by_weight() -> None:
    found, _ = shares([1, 2, 3], {2: 3}, 100, Turn())
    assert found == [(1, 20), (2, 60), (3, 20)]


@pytest.mark.parametrize("room", [1, 2, 3, 4, 7])
def test_weights_hold_however_small_the_room_is(room: int) -> None:
    given: Counter[int] = Counter()
    turn = Turn()
    for _ in range(420):
        found, turn = shares([1, 2, 3], {2: 4}, room, turn)
        assert sum(most for _, most in found) <= room
        given.update(dict(found))
    assert given[1] == pytest.approx(given[3], abs=room)
    assert given[2] == pytest.approx(4 * given[1], abs=4 * room)


def test_no_user_waits_for_more_than_one_round() -> None:
    turn = Turn(7, 1)  # a user who has gone since
    served = []
    for _ in range(5):
        [(user, most)], turn = shares([1, 5, 9], {5: 3}, 1, turn)
        served.append(user)
        assert most == 1
    assert served == [9, 1, 5, 5, 5]


@pytest.mark.parametrize(("users", "room"), [([], 5), ([1, 2], 0), ([1], -3)])
def test_without_users_or_room_nobody_is_served(users: list[int], room: int) -> None:
    assert shares(users, {}, room, Turn(1, 1)) == ([], Turn(1, 1))
