from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from afx.coordinator.decisions.placement import Node, PlacementRequest, fits, plan, score, steep

MIB = 1024 * 1024


def node(name: str, **fields: object) -> Node:
    defaults: dict[str, object] = {
        "name": name,
        "incarnation": f"i-{name}",
        "free_bytes": 1000 * MIB,
        "capacity_bytes": 1000 * MIB,
        "cpu": 0.0,
        "sessions": 0,
        "max_sessions": 100,
        "starts": 40,
    }
    return Node(**{**defaults, **fields})  # type: ignore[arg-type]


nodes = st.lists(
    st.builds(
        node,
        st.uuids().map(str),
        free_bytes=st.integers(0, 50),
        capacity_bytes=st.integers(50, 100),
        cpu=st.floats(0, 1),
        sessions=st.integers(0, 5),
        max_sessions=st.integers(1, 8),
        starts=st.integers(0, 6),
        labels=st.frozensets(st.sampled_from(["region=eu", "region=us", "kind=big"])),
        premium_reserve_bytes=st.integers(0, 30),
    ),
    max_size=6,
)
requests = st.lists(
    st.tuples(
        st.integers(1, 20),
        st.booleans(),
        st.frozensets(st.sampled_from(["region=eu", "kind=big"]), max_size=2),
    ),
    max_size=40,
).map(
    lambda them: [
        PlacementRequest(number, size, premium=premium, requires=requires)
        for number, (size, premium, requires) in enumerate(them)
    ]
)


@given(requests, nodes)
def test_no_plan_exceeds_ram_sessions_or_start_tokens(
    wanted: list[PlacementRequest], offered: list[Node]
) -> None:
    made = plan(wanted, offered)
    for it in offered:
        mine = [placed for placed in made.placed if placed.node == it.name]
        assert sum(placed.bytes for placed in mine) <= it.free_bytes
        assert it.sessions + len(mine) <= max(it.max_sessions, it.sessions)
        assert len(mine) <= it.starts


@given(requests, nodes)
def test_every_session_is_placed_or_waits_for_a_reason(
    wanted: list[PlacementRequest], offered: list[Node]
) -> None:
    made = plan(wanted, offered)
    answered = [it.session for it in made.placed]
    answered += [*made.full, *made.later, *made.unmatched]
    assert sorted(answered) == [it.session for it in wanted]


@given(requests, nodes)
def test_the_same_snapshot_gives_the_same_plan(
    wanted: list[PlacementRequest], offered: list[Node]
) -> None:
    assert plan(wanted, offered) == plan(wanted, list(reversed(offered)))


def test_sessions_spread_evenly_over_equal_nodes() -> None:
    made = plan(
        [PlacementRequest(number, MIB) for number in range(30)], [node("a"), node("b"), node("c")]
    )
    counts = [sum(it.node == name for it in made.placed) for name in "abc"]
    assert counts == [10, 10, 10]


def test_a_fuller_node_gets_fewer_sessions() -> None:
    made = plan(
        [PlacementRequest(number, 10 * MIB) for number in range(20)],
        [node("full", free_bytes=300 * MIB), node("empty")],
    )
    counts = {name: sum(it.node == name for it in made.placed) for name in ("full", "empty")}
    assert counts["empty"] > counts["full"]


def test_a_session_returns_to_its_old_node_when_nodes_are_equal() -> None:
    made = plan([PlacementRequest(1, MIB, last_node="b")], [node("a"), node("b")])
    assert made.placed[0].node == "b"


def test_a_session_avoids_the_node_where_it_failed() -> None:
    request = PlacementRequest(1, MIB, last_node="b", failed_nodes=frozenset({"b"}))
    assert plan([request], [node("a", sessions=50), node("b")]).placed[0].node == "a"


def test_a_session_without_room_is_full_and_one_without_tokens_is_later() -> None:
    made = plan([PlacementRequest(1, 2000 * MIB), PlacementRequest(2, MIB)], [node("a", starts=0)])
    assert (made.full, made.later) == ((1,), (2,))


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_last_share_of_a_resource_costs_more_than_the_first(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert 0 <= steep(low) <= steep(high) <= 1
    assert steep((low + high) / 2) <= (steep(low) + steep(high)) / 2 + 1e-9


def test_less_free_ram_costs_more() -> None:
    assert score(node("a", free_bytes=100 * MIB), MIB) > score(node("b"), MIB)


@given(requests, nodes)
def test_a_session_gets_only_a_node_that_has_the_labels_it_requires(
    wanted: list[PlacementRequest], offered: list[Node]
) -> None:
    made = plan(wanted, offered)
    labels = {it.name: it.labels for it in offered}
    for it in made.placed:
        assert wanted[it.session].requires <= labels[it.node]
    for session in made.unmatched:
        assert not any(wanted[session].requires <= it for it in labels.values())


@given(requests, nodes)
def test_free_users_sessions_leave_the_headroom_of_premium_ones(
    wanted: list[PlacementRequest], offered: list[Node]
) -> None:
    free_only = [it for it in wanted if not it.premium]
    made = plan(free_only, offered)
    for it in offered:
        taken = sum(placed.bytes for placed in made.placed if placed.node == it.name)
        assert taken == 0 or taken <= it.free_bytes - it.premium_reserve_bytes


@given(requests, nodes)
def test_a_session_reported_as_full_has_no_room_in_the_plan(
    wanted: list[PlacementRequest], offered: list[Node]
) -> None:
    made = plan(wanted, offered)
    after = {it.name: it for it in offered}
    for it in made.placed:
        node = after[it.node]
        after[it.node] = replace(
            node, free_bytes=node.free_bytes - it.bytes, sessions=node.sessions + 1
        )
    for session in made.full:
        assert not any(fits(it, wanted[session]) for it in after.values())


def test_many_unschedulable_sessions_cost_one_check_each() -> None:
    offered = [node(f"n{number}", free_bytes=10) for number in range(1000)]
    made = plan([PlacementRequest(number, 20) for number in range(50_000)], offered)
    assert len(made.full) == 50_000
