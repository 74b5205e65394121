"""For tests of whole clusters: how a lab is started, and how its verdict is asserted."""

from __future__ import annotations

from collections.abc import Callable

from afx.lab.accounts import alternate_modes
from afx.lab.cluster import LabCluster
from afx.sandbox.judge.verdict import Verdict

NewLab = Callable[..., LabCluster]
FlowingLab = Callable[..., LabCluster]


def start(lab: LabCluster, nodes: int, sessions: int, *flags: str, linked: bool = False) -> None:
    """Start a coordinator and nodes; when all are live, add sessions, which all nodes share.

    With ``linked``, each node has its own link to Redis.
    """
    lab.processes.start_coordinator()
    if linked:
        lab.start_linked_nodes(nodes)
    else:
        lab.processes.start_nodes(nodes, *flags)
    lab.wait_nodes(nodes)
    lab.add_sessions(sessions, mode=alternate_modes)


def start_flow(lab: LabCluster, posts: int, rate: float) -> None:
    """Post messages to running sessions, each to be copied; wait until copies arrive.

    Without ``posts``, only the promise is made.
    """
    lab.wait_running()
    lab.expect_copies()
    if posts:
        lab.post(posts, rate)
        lab.wait("copies arrive", lambda: lab.judge().delivered > 0, 60)


def assert_clean(verdict: Verdict) -> None:
    """Assert that nothing was lost, doubled, out of order or revoked."""
    assert verdict.is_clean, verdict
