"""The state that a node is set to, by what is requested of it."""

from __future__ import annotations

import pytest

from afx.coordinator.decisions.node_state import may_change, target_state


@pytest.mark.parametrize(
    ("kinds", "forced", "sessions", "state"),
    [
        (set(), False, 3, "cordoned"),
        ({"cordon"}, False, 3, "cordoned"),
        ({"recycle"}, False, 3, "draining"),
        ({"recycle"}, False, 0, "recycling"),
        ({"recycle"}, True, 3, "recycling"),
        ({"recycle", "cordon"}, False, 3, "draining"),
        ({"stop", "recycle"}, True, 3, "stopping"),
    ],
)
def test_stop_and_recycle_precede_the_desired_state(
    kinds: set[str], forced: bool, sessions: int, state: str
) -> None:
    assert target_state("cordoned", kinds=kinds, forced=forced, sessions=sessions) == state


@pytest.mark.parametrize("state", ["stopping", "recycling"])
def test_a_node_that_ends_does_not_come_back_in_the_same_incarnation(state: str) -> None:
    assert not may_change(state, "ready")


def test_a_node_is_not_set_to_the_state_that_it_has() -> None:
    assert not may_change("ready", "ready")
    assert may_change("draining", "ready")
