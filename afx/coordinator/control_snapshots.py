"""What the leader sees of the subjects of open controls, at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from afx.cluster.worker_records import LIVE_STATES, WorkerView
from afx.coordinator.assignments import AssignmentTable
from afx.coordinator.decisions import node_state
from afx.coordinator.decisions.control_progress import NodeSnapshot, SessionSnapshot
from afx.coordinator.decisions.placement import Placement
from afx.coordinator.moves import MoveNews
from afx.process_names import node_of
from models.storage.placing import Standing


class ControlSnapshots:
    """Nodes, sessions and moves, as one tick sees them."""

    def __init__(
        self,
        *,
        nodes: Iterable[WorkerView],
        desired_states: Mapping[str, str],
        table: AssignmentTable,
        standings: Mapping[int, Standing],
        moving: Mapping[int, Placement],
        news: MoveNews,
    ) -> None:
        """``moving`` are the sessions for which room is reserved on another node."""
        self._nodes = {it.name: it for it in nodes if it.state in LIVE_STATES}
        self._desired_states = desired_states
        self._table = table
        self._counts = table.counts()
        self._standings = standings
        self._moving = moving
        self._news = news

    def node(self, name: str) -> NodeSnapshot:
        """Return a node, without how long its sessions have been stuck."""
        desired_state = node_state.desired_state(self._desired_states, name)
        view = self._nodes.get(name)
        others = sum(it.node == node_of(name) for it in self._nodes.values())
        is_first = name == node_of(name)
        if view is None:
            return NodeSnapshot(
                incarnation="",
                state="",
                acknowledged_state="",
                desired_state=desired_state,
                sessions=self._table.count_on_worker(name),
                others=others,
                is_first=is_first,
            )
        return NodeSnapshot(
            incarnation=view.incarnation,
            state=view.state,
            acknowledged_state=view.seen,
            desired_state=desired_state,
            sessions=self._counts.get(view.incarnation, 0),
            stuck=self._news.stuck.get(view.incarnation, 0),
            others=others - 1,
            is_first=is_first,
        )

    def session(self, session_id: int | None) -> SessionSnapshot:
        """Return a session; one that has been removed does not exist."""
        standing = None if session_id is None else self._standings.get(session_id)
        if session_id is None or standing is None:
            return SessionSnapshot(exists=False)
        active = self._table.active.get(session_id)
        return SessionSnapshot(
            exists=True,
            desired_state=standing.desired_state,
            removing=standing.removing,
            has_rule=standing.has_rule,
            hibernates=bool(standing.hibernation),
            hindrance=standing.trouble or standing.waits,
            node=active.worker if active else "",
            state=active.state if active else "",
            moving=session_id in self._moving,
            refused=self._news.refused.get(session_id, ""),
        )

    def destination(self, session_id: int | None) -> str:
        """Return the node to which a session moves; empty when it does not.

        An earlier control, or a drain, may have begun the move.
        """
        placement = None if session_id is None else self._moving.get(session_id)
        return placement.node if placement else ""
