"""A node as scaling sees it: the RAM of its sessions, without that of the empty node."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from support.registries import IDLE

from afx.cluster.worker_records import WorkerView, parse_view
from afx.config import load
from afx.coordinator.capacity import Capacity

MIB = 1 << 20


def view(number: int, rss: int, sessions: int = 0, state: str = "ready") -> WorkerView:
    found = parse_view(f"w{number}", {"incarnation": f"i{number}", "state": state})
    metrics = replace(IDLE, rss=rss * MIB, ram_free=2000 * MIB, sessions=sessions)
    return replace(
        found, metrics=metrics, assigned=sessions, reserved=0, max_sessions=100, faults=()
    )


def used(capacity: Capacity, node: WorkerView) -> int:
    return capacity.scaling_figures(node, is_fresh=True).used_bytes // MIB


def test_the_ram_of_the_empty_node_is_no_demand(home: Path) -> None:
    capacity = Capacity(load(home=home))
    capacity.note_nodes([view(1, 100)])
    assert used(capacity, view(1, 100)) == 0
    assert used(capacity, view(1, 350, sessions=9)) == 250


def test_a_node_that_was_never_seen_empty_counts_as_the_smallest_that_was(home: Path) -> None:
    capacity = Capacity(load(home=home))
    assert used(capacity, view(9, 350, sessions=9)) == 350
    capacity.note_nodes([view(1, 100), view(2, 120)])
    assert used(capacity, view(9, 350, sessions=9)) == 250


def test_nodes_that_are_gone_are_forgotten_but_not_what_they_taught(home: Path) -> None:
    capacity = Capacity(load(home=home))
    for number in range(1000):
        capacity.note_nodes([view(number, 100)])
    assert len(capacity._seen_empty) <= 3
    capacity.note_nodes([view(2000, 500, sessions=5)])
    assert used(capacity, view(2000, 500, sessions=5)) == 400


def test_only_ready_nodes_that_are_heard_count(home: Path) -> None:
    capacity = Capacity(load(home=home))
    assert not capacity.scaling_figures(view(1, 1, state="cordoned"), is_fresh=True).is_ready
    spoiled = replace(view(1, 1), faults=("rss",))
    assert not capacity.scaling_figures(spoiled, is_fresh=True).is_fresh
