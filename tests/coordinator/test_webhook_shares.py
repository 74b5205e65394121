"""Fair shares of the requests to webhooks."""

from __future__ import annotations

from collections import Counter

from afx.coordinator.decisions.webhook_shares import (
    AT_ONCE,
    OF_OWNER,
    OF_SIDE,
    OF_SLOW,
    OF_SLOW_OWNER,
    OF_WEBHOOK,
    Place,
    next_ones,
)


def of(owner: str | None, count: int, first: int = 1) -> list[Place]:
    return [Place(first + it, owner) for it in range(count)]


def many(places: list[Place]) -> dict[Place, int]:
    return dict.fromkeys(places, 10)


def test_a_webhook_gets_two_requests_at_once_and_no_more_than_wait() -> None:
    [place] = of(None, 1)
    assert next_ones({place: 10}, [], {}) == [place] * OF_WEBHOOK
    assert next_ones({place: 10}, [place], {}) == [place]
    assert next_ones({place: 1}, [], {}) == [place]
    assert next_ones({}, [place], {}) == []


def test_one_user_has_a_share_however_many_webhooks_it_has() -> None:
    assert len(next_ones(many(of("alice", 10)), [], {})) == OF_OWNER


def test_users_leave_room_to_the_operator_and_the_operator_to_users() -> None:
    users = [it for number in range(20) for it in of(f"u{number}", 2, 100 * number)]
    mine = of(None, 50, 5_000)
    taken = next_ones(many(users), [], {})
    assert len(taken) == OF_SIDE
    assert len(next_ones(many(users + mine), taken, {})) == AT_ONCE - OF_SIDE
    taken = next_ones(many(mine), [], {})
    assert len(taken) == OF_SIDE
    assert {it.owner is None for it in next_ones(many(users + mine), taken, {})} == {False}


def test_the_owner_with_the_fewest_requests_is_next() -> None:
    alice, bob = of("alice", 3), of("bob", 1, 50)
    chosen = next_ones(many(alice + bob), alice[:2], {})
    assert chosen[0] == bob[0] and Counter(it.owner for it in chosen) == {"alice": 2, "bob": 2}


def test_each_webhook_has_its_turn_while_all_receivers_are_slow() -> None:
    places = [it for number in range(30) for it in of(f"u{number}", 3, 100 * number)]
    places += of(None, 5, 9_000)
    turns: dict[Place, int] = {}
    under_way: list[Place] = []
    served: Counter[Place] = Counter()
    for _ in range(30):
        chosen = next_ones(many(places), under_way, turns)
        for it in chosen:
            turns[it] = max(turns.values(), default=0) + 1
        served.update(chosen)
        # All take equally long: those that were begun first end first.
        under_way = [*under_way, *chosen][4:]
        assert len(under_way) <= AT_ONCE
    assert set(served) == set(places)


def test_slow_users_together_have_a_part_of_the_users_requests() -> None:
    slow = [it for number in range(5) for it in of(f"slow{number}", 3, 100 * number)]
    names = {it.owner for it in slow if it.owner}
    taken = next_ones(many(slow), [], {}, names)
    assert len(taken) == OF_SLOW
    assert max(Counter(it.owner for it in taken).values()) <= OF_SLOW_OWNER
    others = [it for number in range(9) for it in of(f"u{number}", 2, 5_000 + 100 * number)]
    assert len(next_ones(many(others), taken, {}, names)) == OF_SIDE - OF_SLOW


def test_users_who_became_slow_while_they_had_all_requests_get_no_more() -> None:
    slow = [it for number in range(3) for it in of(f"slow{number}", 2, 100 * number)]
    taken = next_ones(many(slow), [], {})
    assert len(taken) == OF_SIDE
    names = {it.owner for it in slow if it.owner}
    other = of("bob", 1, 9_000)
    chosen = next_ones(many(slow + other), taken[: OF_SIDE - 1], {}, names)
    assert chosen == other


def test_a_slow_operator_is_not_limited_by_users_who_are_slow() -> None:
    assert len(next_ones(many(of(None, 50)), [], {}, {"alice"})) == OF_SIDE
