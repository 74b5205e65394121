"""How many connections to Redis a node uses: 2,000 nodes fit under the usual limit."""

from __future__ import annotations

from statistics import median
from typing import Any

from support.labs import FlowingLab, assert_clean

from afx.lab.cluster import LabCluster
from models.storage import tasks
from models.storage.tasks import NewTask

MOST_PER_NODE = 4
NODES = 2


def of_nodes(lab: LabCluster) -> dict[str, int]:
    """Return how many connections each node's link carries, as Redis sees its own."""
    return {name: link.connections for name, link in lab.links.items()}


def connections(lab: LabCluster) -> int:
    """Return how many connections the server has, of whomever."""
    listed: Any = lab.redis.client_list()
    return len(listed)


def test_a_node_uses_four_connections_at_most(flowing_lab: FlowingLab) -> None:
    lab = flowing_lab(NODES, 24, posts=900, linked=True)
    counts: dict[str, list[int]] = {name: [] for name in lab.links}
    numbers = tasks.submit([NewTask("task.probe")] * 300, "test")

    def all_arrived() -> bool:
        for name, count in of_nodes(lab).items():
            counts[name].append(count)
        return lab.all_posted() and not lab.judge().lost

    lab.wait("all copies arrive", all_arrived, 60)
    assert_clean(lab.judge())
    lab.wait("the tasks ran", lambda: not tasks.counts(), 60)
    assert {tasks.get(it)["state"] for it in numbers} == {"succeeded"}
    assert len(counts) == NODES
    # A machine that is slow for a moment makes calls overlap, as a slow network does (below).
    assert all(0 < median(it) <= MOST_PER_NODE for it in counts.values()), counts
    lab.wait("none is left over", lambda: max(of_nodes(lab).values()) <= MOST_PER_NODE, 60)
    # What is not a node's is the coordinator's and this test's own.
    lab.wait("the rest are few", lambda: connections(lab) <= NODES * MOST_PER_NODE + 6, 60)


def test_connections_that_a_slow_network_made_necessary_are_closed_again(
    flowing_lab: FlowingLab,
) -> None:
    lab = flowing_lab(1, 4, posts=0, linked=True)
    [link] = lab.links.values()
    link.slow(0.7)
    lab.wait("heartbeats overlap", lambda: link.connections > MOST_PER_NODE, 60)
    link.mend()
    lab.wait("they are closed", lambda: link.connections <= MOST_PER_NODE, 60)
    assert lab.running() == 4
