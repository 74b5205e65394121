"""How many nodes are recommended: the decision alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afx.coordinator.decisions import scale_in
from afx.coordinator.decisions.scale_in import NodeFigures
from afx.coordinator.decisions.scaling import (
    Decision,
    Figures,
    Policy,
    Reason,
    Recommendation,
    State,
    decide,
)

GIB = 1 << 30
POLICY = Policy()


def node(number: int, load: float = 0.0, **changes: object) -> NodeFigures:
    """A node that is loaded as much by RAM as by sessions."""
    made = NodeFigures(
        f"w{number}", f"i{number}", int(load * 4 * GIB), 4 * GIB, int(load * 1000), 1000, 0.0
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def nodes(count: int, load: float) -> tuple[NodeFigures, ...]:
    return tuple(node(it, load) for it in range(count))


class Clock:
    """Decides again and again, each time five seconds later."""

    def __init__(self, policy: Policy = POLICY, *, last: int | None = None) -> None:
        self.policy = policy
        self.now = 1000.0
        seed = None
        if last is not None:
            seed = Recommendation(Decision.HOLD, Reason.STEADY, last, last, last)
        self.state = State(self.now, last=seed)

    def decide(self, figures: Figures, seconds: float = 5.0) -> Recommendation:
        found: Recommendation | None = None
        for _ in range(max(1, round(seconds / 5))):
            found, self.state = decide(self.policy, figures, self.state, self.now)
            self.now += 5.0
        assert found is not None
        return found


def test_an_idle_cluster_keeps_the_smallest_number_of_nodes() -> None:
    found = Clock().decide(Figures(nodes(1, 0.0)))
    assert (found.decision, found.desired, found.reason) == (Decision.HOLD, 1, Reason.STEADY)


def test_the_scarcest_resource_decides_and_a_spare_node_is_added() -> None:
    busy = tuple(replace(it, cpu=0.9) for it in nodes(4, 0.5))
    found = Clock(last=4).decide(Figures(busy))
    assert (found.desired, found.reason) == (6, Reason.CPU)  # 3.6 / 0.75 = 4.8
    assert found.decision is Decision.OUT


def test_out_is_recommended_at_once_but_only_by_half_in_five_minutes() -> None:
    clock = Clock(last=4)
    figures = Figures(nodes(4, 1.0), overflow=8000, overflow_bytes=32 * GIB)
    assert clock.decide(figures, 20).desired == 6
    assert clock.decide(figures, 250).reason is Reason.STEP
    assert clock.decide(figures, 100).desired == 9


def test_a_difference_within_the_tolerance_changes_nothing() -> None:
    clock = Clock(last=5)
    assert clock.decide(Figures(nodes(5, 0.65))).decision is Decision.HOLD
    assert clock.decide(Figures(nodes(5, 0.67))).decision is Decision.OUT


def test_sessions_in_the_overflow_count_after_fifteen_seconds() -> None:
    clock = Clock(last=2)
    figures = Figures(nodes(2, 0.37), overflow=600, overflow_bytes=GIB)
    assert clock.decide(figures, 15).decision is Decision.HOLD
    found = clock.decide(figures)
    assert (found.decision, found.reason, found.overflow) == (Decision.OUT, Reason.OVERFLOW, 600)


def test_an_overflow_that_comes_and_goes_does_not_count() -> None:
    clock = Clock(last=2)
    for _ in range(20):
        clock.decide(Figures(nodes(2, 0.3), overflow=600, overflow_bytes=GIB), 10)
        assert clock.decide(Figures(nodes(2, 0.3))).decision is Decision.HOLD


def test_full_nodes_with_an_overflow_ask_for_one_more_whatever_the_means_say() -> None:
    by_ram, by_sessions = (
        node(1, 0.0, used_bytes=4 * GIB, sessions=10),
        node(2, 0.0, sessions=1000),
    )
    clock = Clock(Policy(spare_nodes=0), last=2)
    found = clock.decide(Figures((by_ram, by_sessions), overflow=1), 20)
    assert found.desired == 3  # RAM and sessions fill 1.3 nodes each


def test_old_tasks_ask_for_one_node_and_no_more_however_long_they_wait() -> None:
    clock = Clock(last=2)
    figures = Figures(nodes(2, 0.3), oldest_task_seconds=90)
    assert clock.decide(figures).reason is Reason.TASKS
    grown = Figures(nodes(3, 0.2), oldest_task_seconds=9000)
    assert clock.decide(grown, 3600).desired == 3


def test_in_needs_ten_minutes_of_agreement_and_of_quiet() -> None:
    clock = Clock(last=6)
    quiet = Figures(nodes(6, 0.2))
    assert clock.decide(quiet, 590).decision is Decision.HOLD
    found = clock.decide(quiet, 20)
    assert (found.decision, found.desired, found.reason) == (Decision.IN, 3, Reason.SPARE)
    assert found.removable == ("w0", "w1", "w2")


def test_the_highest_recommendation_of_the_window_counts() -> None:
    clock = Clock(last=6)
    clock.decide(Figures(nodes(6, 0.1)), 300)
    clock.decide(Figures(nodes(6, 0.1), oldest_task_seconds=90))
    assert clock.decide(Figures(nodes(6, 0.1)), 400).desired == 3
    assert clock.decide(Figures(nodes(3, 0.2)), 700).desired == 2


def test_what_was_recommended_before_the_limit_was_lowered_does_not_count() -> None:
    assert Clock(Policy(max_nodes=3), last=5).decide(Figures(nodes(2, 0.3))).desired == 3


def test_other_quiet_nodes_are_named_as_alternatives() -> None:
    figures = Figures((*nodes(2, 0.1), *(node(it, 0.4) for it in (2, 3)), node(4, 0.6)))
    found = Clock(last=5).decide(figures, 700)
    assert found.desired == 4  # 1.6 / 0.75, and the spare one
    assert found.removable == ("w0",)
    assert found.alternatives == ("w1", "w2", "w3")


def test_a_large_cluster_shrinks_in_steps() -> None:
    clock = Clock(last=500)
    found = clock.decide(Figures(nodes(500, 0.1)), 615)
    assert (found.desired, len(found.removable)) == (480, 20)


def test_one_moment_of_demand_puts_in_off_for_ten_minutes() -> None:
    clock = Clock(last=6)
    clock.decide(Figures(nodes(6, 0.2)), 500)
    clock.decide(Figures(nodes(6, 0.64)))
    assert clock.decide(Figures(nodes(6, 0.2)), 500).decision is Decision.HOLD
    assert clock.decide(Figures(nodes(6, 0.2)), 120).decision is Decision.IN


def test_a_busy_node_is_never_removed() -> None:
    clock = Clock(last=6)
    uneven = (*nodes(3, 0.0), *(node(it, 0.55) for it in range(3, 6)))
    assert clock.decide(Figures(uneven), 700).removable == ("w0", "w1")
    busy = Clock(last=6).decide(Figures(nodes(6, 0.51)), 700)
    assert busy.decision is Decision.HOLD


def test_the_other_nodes_must_have_room_for_the_sessions() -> None:
    full = [node(it, 0.8) for it in range(4)]
    assert scale_in.removable([*full, node(9, 0.3)], ["i9"], 5, 0.85) == []
    assert scale_in.removable([*full, node(9, 0.1)], ["i9"], 5, 0.85) == ["w9"]


def test_the_other_nodes_must_have_room_by_sessions_and_by_cpu() -> None:
    by_sessions = [node(it, 0.0, sessions=840) for it in range(4)]
    assert scale_in.removable([*by_sessions, node(9, 0.0, sessions=60)], ["i9"], 5, 0.85) == []
    by_cpu = [node(it, 0.1, cpu=0.84) for it in range(4)]
    assert scale_in.removable([*by_cpu, node(9, 0.1, cpu=0.4)], ["i9"], 5, 0.85) == []


def test_sessions_do_not_move_to_nodes_without_their_labels() -> None:
    eu, us = frozenset(("region=eu",)), frozenset(("region=us",))
    one, two = node(1, 0.1, labels=eu), node(2, 0.1, labels=us)
    assert scale_in.removable([one, two], ["i1", "i2"], 2, 0.85) == []
    assert scale_in.removable([one, two, node(3, 0.1, labels=eu)], ["i1"], 1, 0.85) == ["w1"]


def test_what_a_draining_node_still_runs_needs_room_first() -> None:
    draining = node(5, 0.7, is_ready=False)
    assert scale_in.removable([node(1, 0.1), node(2, 0.1), draining], ["i1"], 1, 0.85) == []
    assert scale_in.removable([node(1, 0.0), node(2, 0.1), draining], ["i1"], 1, 0.85) == ["w1"]


def test_in_never_happens_while_sessions_wait_for_room() -> None:
    clock = Clock(last=6)
    figures = Figures(nodes(6, 0.1), overflow=1, overflow_bytes=1)
    assert clock.decide(figures, 3600).decision is not Decision.IN


def test_nodes_that_failed_stay_recommended() -> None:
    clock = Clock(last=6)
    clock.decide(Figures(nodes(6, 0.6)), 60)
    found = clock.decide(Figures(nodes(4, 0.75)))
    assert (found.decision, found.desired) == (Decision.OUT, 6)


def test_the_last_good_recommendation_holds_while_the_figures_are_old() -> None:
    clock = Clock(last=4)
    clock.decide(Figures(nodes(4, 0.5)), 60)
    silent = tuple(replace(it, is_fresh=False) for it in nodes(4, 0.0)[:2]) + nodes(4, 0.0)[2:]
    found = clock.decide(Figures(silent), 3600)
    assert (found.decision, found.reason, found.desired) == (Decision.HOLD, Reason.STALE, 4)
    assert clock.decide(Figures(nodes(4, 0.5), is_reliable=False)).reason is Reason.STALE


def test_no_quiet_time_counts_across_a_gap_in_the_figures() -> None:
    clock = Clock(last=6)
    clock.decide(Figures(nodes(6, 0.1)), 550)
    clock.decide(Figures((), is_reliable=False))
    assert clock.decide(Figures(nodes(6, 0.1)), 100).decision is Decision.HOLD


def test_nodes_that_have_all_vanished_are_wanted_back_only_after_a_minute() -> None:
    clock = Clock(last=4)
    clock.decide(Figures(nodes(4, 0.5)), 60)
    assert clock.decide(Figures(()), 55).reason is Reason.STALE
    found = clock.decide(Figures(()), 15)
    assert (found.decision, found.desired) == (Decision.OUT, 4)


def test_without_any_node_a_first_one_is_recommended() -> None:
    assert Clock().decide(Figures(()), 20).decision is Decision.OUT


def test_a_lower_limit_than_there_are_nodes_drains_them_with_care() -> None:
    clock = Clock(Policy(max_nodes=3), last=5)
    assert clock.decide(Figures(nodes(5, 0.3))).decision is Decision.HOLD
    found = clock.decide(Figures(nodes(5, 0.3)), 610)
    assert (found.decision, found.desired) == (Decision.IN, 3)
    assert clock.decide(Figures(nodes(2, 0.75))).desired <= 3


def test_a_recommendation_says_for_how_long_it_was_not_followed() -> None:
    clock = Clock(last=2)
    assert clock.decide(Figures(nodes(2, 0.9)), 305).standing_seconds == 300


NODE = st.builds(
    NodeFigures,
    name=st.sampled_from("abcdef"),
    incarnation=st.sampled_from("123456"),
    used_bytes=st.integers(0, 2**53),
    capacity_bytes=st.integers(0, 2**53),
    sessions=st.integers(0, 10**6),
    max_sessions=st.integers(1, 10**6),
    cpu=st.floats(0, 1024),
    is_ready=st.booleans(),
    is_fresh=st.booleans(),
    labels=st.frozensets(st.sampled_from(["a=1", "b=2"])),
)
FIGURES = st.builds(
    Figures,
    nodes=st.lists(NODE, max_size=6, unique_by=(lambda it: it.name, lambda it: it.incarnation)).map(
        tuple
    ),
    overflow=st.integers(0, 10**6),
    overflow_bytes=st.integers(0, 2**53),
    oldest_task_seconds=st.floats(0, 1e9),
    is_reliable=st.booleans(),
)
POLICIES = st.builds(
    Policy,
    min_nodes=st.integers(1, 4),
    max_nodes=st.integers(4, 20),
    spare_nodes=st.integers(0, 3),
)


@settings(max_examples=150, deadline=None)
@given(POLICIES, st.lists(st.tuples(FIGURES, st.floats(0, 700)), max_size=12))
def test_whatever_the_figures_are_the_limits_hold(
    policy: Policy, steps: list[tuple[Figures, float]]
) -> None:
    state, now = State(0.0), 0.0
    for figures, seconds in steps:
        now += seconds
        found, state = decide(policy, figures, state, now)
        ready = sum(it.is_ready for it in figures.nodes)
        assert found.desired <= max(policy.max_nodes, ready)
        assert len(found.removable) <= max(0, ready - policy.min_nodes)
        if found.decision is Decision.IN:
            assert found.desired >= policy.min_nodes
            assert ready - len(found.removable) == found.desired
            assert found.reason is Reason.SPARE
            by_name = {it.name: it for it in figures.nodes}
            assert all(by_name[it].load < policy.quiet_load for it in found.removable)
        if found.reason is Reason.STALE:
            assert found.decision is Decision.HOLD
        assert set(found.demands) <= {Reason.RAM, Reason.SESSIONS, Reason.CPU}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 10**5), min_size=1, max_size=40), st.integers(1, 50))
def test_recommendations_do_not_depend_on_any_wall_clock(loads: list[int], start: int) -> None:
    """Only differences of times count: the same run at another time says the same."""
    runs = []
    for begin in (0.0, float(start)):
        state, found = State(begin), []
        for number, load in enumerate(loads):
            figures = Figures((node(1, 0.0, sessions=load % 1000),), overflow=load // 1000)
            recommendation, state = decide(POLICY, figures, state, begin + 8 * number)
            found.append((recommendation.decision, recommendation.desired))
        runs.append(found)
    assert runs[0] == runs[1]


@pytest.mark.parametrize("spare", [0, 1])
def test_a_steady_load_settles_after_one_change(spare: int) -> None:
    for sessions in range(100, 9000, 370):
        clock, current, changes = Clock(Policy(spare_nodes=spare)), 1, 0
        for _ in range(300):
            each = sessions / current
            load = min(1.0, each / 1000)
            waiting = max(0, sessions - current * 1000)
            found = clock.decide(
                Figures(nodes(current, load), waiting, waiting * 4 * GIB // 1000), 60
            )
            changes += found.decision is Decision.IN
            current = found.desired
        assert changes == 0
