"""Where the sessions of a host process move that is replaced in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from afx.cluster.worker_records import WorkerView
from afx.coordinator.decisions.placement import Node

_STALLED_SECONDS = 30.0
"""When none of its sessions has moved for so long, all may move to any node from then on."""


class Successors:
    """The replacements of one term, and how they get on."""

    def __init__(self) -> None:
        self._left: dict[str, tuple[int, float]] = {}
        """incarnation that is replaced → how many sessions it has, and since when so many."""
        self._stalled: set[str] = set()
        """Incarnations of which the sessions may move to any node."""

    def homes(
        self,
        nodes: Sequence[WorkerView],
        ready: Sequence[Node],
        counts: Mapping[str, int],
        now: float,
    ) -> dict[str, list[Node]]:
        """Return incarnation that is replaced → the nodes to which its sessions may move.

        That is its successor; any other one when there is none, or it has no room.
        ``counts`` is incarnation → sessions.
        """
        left: dict[str, tuple[int, float]] = {}
        homes: dict[str, list[Node]] = {}
        for old in nodes:
            if old.state != "replacing":
                continue
            count = counts.get(old.incarnation, 0)
            last, since = self._left.get(old.incarnation, (count, now))
            left[old.incarnation] = (count, since if count == last else now)
            if now - left[old.incarnation][1] >= _STALLED_SECONDS:
                self._stalled.add(old.incarnation)
            successors = {it.incarnation for it in nodes if it.replaces == old.incarnation}
            homes[old.incarnation] = [
                it
                for it in ready
                if it.incarnation in successors or old.incarnation in self._stalled
            ]
        self._stalled &= left.keys()
        self._left = left
        return homes
