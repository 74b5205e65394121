"""Fairness, preemption, RAM classes, the brake, rebalancing: pure decisions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from afx.coordinator.decisions import brake, fairness, preemption, rebalance, session_size
from afx.coordinator.decisions.brake import Brake
from afx.coordinator.decisions.fairness import Waiter, fair_order
from afx.coordinator.decisions.placement import Node, PlacementRequest, fits
from afx.coordinator.decisions.preemption import Victim
from afx.coordinator.decisions.rebalance import Movable, NodeLoad

MIB = 1024 * 1024
waiters = st.lists(st.tuples(st.booleans(), st.floats(0, 2000)), max_size=60).map(
    lambda them: [Waiter(number, *it) for number, it in enumerate(them)]
)


# --- fairness -----------------------------------------------------------------------


@given(waiters, st.integers(0, 20))
def test_every_user_gets_turns_and_each_tier_keeps_its_order(
    waiting: list[Waiter], run: int
) -> None:
    order = fair_order(waiting, run)
    assert sorted(order) == [it.session for it in waiting]
    for premium in (True, False):
        mine = [waiting[it].waited for it in order if waiting[it].premium is premium]
        assert mine == sorted(mine, reverse=True)


@given(waiters, st.integers(0, 20))
def test_of_ten_grants_one_goes_to_a_free_session_while_any_waits(
    waiting: list[Waiter], run: int
) -> None:
    order = [waiting[it].premium for it in fair_order(waiting, run)]
    left = order.count(False)
    for premium in order:
        if left:
            run = fairness.run_after(run, [premium])
            assert run < max(fairness.FREE_EVERY, run if run == 0 else fairness.FREE_EVERY)
        left -= not premium


def test_a_premium_session_overtakes_only_sessions_that_have_not_waited_much_longer() -> None:
    waiting = [Waiter(1, False, 200), Waiter(2, True, 0), Waiter(3, False, 301)]
    assert fair_order(waiting) == [3, 2, 1]


def test_sessions_that_may_be_late_come_after_those_of_a_lost_node() -> None:
    waiting = [
        Waiter(1, False, 0, awake=True),
        Waiter(2, False, 0),
        Waiter(3, True, 0, awake=True),
        Waiter(4, True, 0),
        Waiter(5, False, 1, awake=True),  # it has waited for longer
    ]
    assert fair_order(waiting) == [4, 3, 5, 2, 1]


# --- preemption ---------------------------------------------------------------------


def node(name: str, free: int, sessions: int, most: int = 100, **fields: object) -> Node:
    return Node(name, f"i-{name}", free, 1000, 0.0, sessions, most, 40, **fields)  # type: ignore[arg-type]


victims = st.lists(
    st.builds(
        Victim,
        st.integers(0, 10**6),
        st.sampled_from(["i-a", "i-b"]),
        st.integers(1, 50),
        st.floats(0, 1000),
    ),
    max_size=12,
    unique_by=lambda it: it.session,
)


@given(victims, st.integers(0, 40), st.integers(0, 40), st.integers(1, 80), st.integers(1, 5))
def test_the_victims_suffice_are_on_one_node_and_all_are_needed(
    victims: list[Victim], free_a: int, free_b: int, needed: int, most: int
) -> None:
    request = PlacementRequest(1, needed, premium=True)
    nodes = [node("a", free_a, 5, 5), node("b", free_b, 3, 5)]
    chosen = preemption.choose(request, nodes, victims, most)
    if not chosen:
        return
    assert len(chosen) <= most and len({it.incarnation for it in chosen}) == 1
    home = next(it for it in nodes if it.incarnation == chosen[0].incarnation)
    gone = sum(it.bytes for it in chosen)

    def after(freed: int, places: int) -> bool:
        return fits(node("x", home.free_bytes + freed, home.sessions - places, 5), request)

    assert after(gone, len(chosen))
    smallest = min(it.bytes for it in chosen)
    assert not after(gone - smallest, len(chosen) - 1)


def test_the_longest_idle_of_equal_victims_goes() -> None:
    victims = [Victim(1, "i-a", 10, 5.0), Victim(2, "i-a", 10, 50.0), Victim(3, "i-b", 10, 70.0)]
    nodes = [node("a", 0, 2), node("b", 5, 2, labels=frozenset({"region=eu"}))]
    assert (
        preemption.choose(PlacementRequest(9, 10, premium=True), nodes, victims, 3)[0].session == 3
    )
    request = PlacementRequest(9, 10, premium=True, requires=frozenset({"region=us"}))
    assert preemption.choose(request, nodes, victims, 3) == ()


# --- RAM classes ---------------------------------------------------------------------


@given(st.lists(st.lists(st.integers(0, 2000), min_size=4, max_size=4), min_size=12, max_size=20))
def test_costs_are_recovered_from_the_use_of_whole_nodes(rows: list[list[int]]) -> None:
    true = dict(zip(session_size.CLASSES, (50.0, 200.0, 100.0, 400.0), strict=True))
    counts = [dict(zip(session_size.CLASSES, row, strict=True)) for row in rows]
    samples = [(1000.0 + sum(true[it] * n for it, n in one.items()), one) for one in counts]
    costs = session_size.fit(samples, assumed=256.0, base=1000.0)
    for it, one in samples:
        estimate = 1000.0 + sum(costs[c] * n for c, n in one.items())
        # Off by no more than the assumption for the few of a class weighs.
        assert abs(estimate - it) <= 0.35 * it + 256 * 4 * 50


def test_without_samples_the_assumed_cost_is_used() -> None:
    assert set(session_size.fit([], 256.0, 0.0).values()) == {256.0}
    many = session_size.fit([(1000 + 5000 * 80, {(False, False): 5000})] * 10, 256.0, 1000.0)
    assert abs(many[False, False] - 80) < 5
    assert many[True, True] == 256.0


# --- the brake ------------------------------------------------------------------------


def test_a_brake_with_zero_duration_holds_nothing() -> None:
    none = Brake(hold=0.0)
    assert brake.braked(none, {"a": 90.0, "b": 99.0, "c": 100.0}, 2, 100.0) == none
    assert brake.rate(none, 100.0) == 1.0


def test_a_few_deaths_do_not_brake_and_most_at_once_do() -> None:
    calm = Brake()
    assert brake.braked(calm, {"a": 100.0}, 1, 100.0) == calm
    assert brake.braked(calm, {"a": 99.0, "b": 100.0}, 2, 100.0) == calm
    brake_ = brake.braked(calm, {"a": 90.0, "b": 99.0, "c": 100.0}, 2, 100.0)
    assert brake.is_held(brake_, 129.0) and not brake.is_held(brake_, 131.0)
    assert [brake.rate(brake_, it) for it in (110.0, 131.0, 200.0)] == [0.0, 0.1, 1.0]


def test_losses_older_than_the_window_are_forgotten() -> None:
    assert brake.recent(Brake(), {"a": 10.0, "b": 80.0}, 100.0) == {"b": 80.0}


def test_deaths_far_apart_do_not_brake() -> None:
    calm = Brake()
    assert brake.braked(calm, {"a": 10.0, "b": 60.0, "c": 100.0}, 1, 100.0) == calm


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 100), max_size=8), st.integers(0, 5))
def test_the_brake_lets_go_by_itself(lost: dict[str, float], live: int) -> None:
    brake_ = Brake()
    now = 100.0
    for _ in range(400):
        brake_ = brake.braked(brake_, lost, live, now)
        now += 0.5
    assert brake.rate(brake_, now) == 1.0


# --- rebalancing ------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(50, 100)), min_size=2, max_size=6),
    st.integers(1, 10),
    st.integers(1, 20),
)
def test_a_round_reduces_the_imbalance_within_its_limit_of_moves(
    loads: list[tuple[int, int]], size: int, most: int
) -> None:
    nodes = [
        NodeLoad(f"n{n}", f"i{n}", count * size, reach * 10, count, 50)
        for n, (count, reach) in enumerate(loads)
    ]
    movable = [
        Movable(1000 * n + it, f"i{n}", size)
        for n, (count, _) in enumerate(loads)
        for it in range(count)
    ]
    moves = rebalance.plan(nodes, movable, most)
    assert len(moves) <= most and len({it.session for it in moves}) == len(moves)
    if rebalance.imbalance(nodes) <= rebalance.BEGIN_RATIO:
        assert not moves
    after = {it.name: it for it in nodes}
    for it in moves:
        for name, sign in ((it.source, -1), (it.target, 1)):
            before = after[name]
            after[name] = NodeLoad(
                before.name,
                before.incarnation,
                before.used_bytes + sign * size,
                before.capacity_bytes,
                before.sessions + sign,
                before.max_sessions,
            )
    assert all(it.sessions <= it.max_sessions for it in after.values())
    fullest = max(it.used_bytes / it.capacity_bytes for it in nodes)
    assert all(it.used_bytes / it.capacity_bytes <= fullest for it in after.values())


def test_balanced_nodes_get_no_moves_and_hysteresis_ends_in_between() -> None:
    def pair(a: int, b: int) -> list[NodeLoad]:
        return [NodeLoad("a", "ia", a, 100, a, 99), NodeLoad("b", "ib", b, 100, b, 99)]

    movable = [Movable(n, "ia", 1) for n in range(99)]
    assert rebalance.plan(pair(55, 45), movable, 20) == []
    assert len(rebalance.plan(pair(80, 20), movable, 99)) == 26  # down to 1.10 of the mean
    assert len(rebalance.plan(pair(80, 20), movable, 5)) == 5


def test_the_budget_bounds_a_round_and_an_hour() -> None:
    assert [rebalance.budget(count, 0) for count in (10, 1000, 100_000)] == [1, 5, 20]
    assert rebalance.budget(10, 1) == 0
    assert rebalance.budget(1000, 18) == 2
    assert rebalance.budget(100_000, 1990) == 10


def test_a_session_is_placed_only_on_nodes_with_its_labels() -> None:
    nodes = [
        NodeLoad("a", "ia", 90, 100, 9, 99),
        NodeLoad("b", "ib", 0, 100, 0, 99),
        NodeLoad("c", "ic", 20, 100, 2, 99, frozenset({"region=eu"})),
    ]
    movable = [Movable(1, "ia", 10, frozenset({"region=eu"}))]
    assert [it.target for it in rebalance.plan(nodes, movable, 9)] == ["c"]
