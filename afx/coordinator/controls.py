"""Carries out controls, from the request to the acknowledgement.

The desired state of a node is in SQL; the node learns of it with its next heartbeat, and
acknowledges it with the one after. The desired state of a session is in SQL as well, and
is acknowledged by what its node reports. So what is left to do here is to note how far
each control has come: ``decisions/control_progress.py`` says that, one function per kind.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import redis
import structlog

from afx.cluster.registry import Registry
from afx.cluster.worker_records import LIVE_STATES, WorkerView
from afx.coordinator import control_steps
from afx.coordinator.assignments import AssignmentTable
from afx.coordinator.control_news import ControlNews
from afx.coordinator.control_snapshots import ControlSnapshots
from afx.coordinator.coordinator_restart import CoordinatorRestart
from afx.coordinator.decisions import node_state
from afx.coordinator.decisions.control_progress import (
    COORDINATORS_PROGRESS,
    NODE_PROGRESS,
    SESSION_PROGRESS,
    ControlSnapshot,
    NodeSnapshot,
    Step,
)
from afx.coordinator.decisions.placement import Placement
from afx.coordinator.moves import MoveNews
from afx.errors import UsageError
from afx.process_names import node_of
from models.base import transaction
from models.storage import cluster, controls, placing, workers
from models.storage.control_subjects import (
    Control,
    CoordinatorsSubject,
    NodeSubject,
    SessionSubject,
)
from models.transitions import TransitionError

_ACTOR = "coordinator"
_RESTART_AGAIN_SECONDS = 600.0
_KINDS: Mapping[type, Collection[str]] = {
    NodeSubject: NODE_PROGRESS,
    SessionSubject: SESSION_PROGRESS,
    CoordinatorsSubject: COORDINATORS_PROGRESS,
}
_UNKNOWN = Step("failed", "the leader does not know this kind of control; upgrade all coordinators")

log = structlog.get_logger()


class Controls:
    """The open controls, and the desired states of the nodes, in one leader's term."""

    def __init__(
        self,
        client: redis.Redis,
        registry: Registry,
        table: AssignmentTable,
        restart: CoordinatorRestart,
        term: int,
    ) -> None:
        self._news = ControlNews(client)
        self._registry = registry
        self._table = table
        self._restart = restart
        self._term = term
        self._open: list[Control] = []
        self._sessions: frozenset[int] = frozenset()
        self.asked_stops: frozenset[int] = frozenset()
        """The sessions that operators let stop, until that is done."""
        self._newest = 0
        """The newest control that a round has advanced."""
        self._desired_states: dict[str, str] = {}
        self._restarted_at: dict[str, float] = {}
        """Node → when it was last restarted because it did not answer."""
        self._stuck_since: dict[int, float] = {}
        """Control → since when no other node has had room for what its node still runs."""

    def read(self) -> None:
        """Read the open controls and the desired states from SQL."""
        self._open = controls.open_ones()
        self._desired_states = workers.desired_states()
        self._sessions = self._of_sessions()
        self.asked_stops = self._of_sessions("pause", "hibernate", "remove")

    def has_news(self, changed: frozenset[int]) -> bool:
        """Return whether a control is new, or is about a session that has just changed."""
        if self._open and self._open[-1].id > self._newest:
            return True
        return bool(changed) and not changed.isdisjoint(self._sessions)

    def _of_sessions(self, *kinds: str) -> frozenset[int]:
        """Return the sessions that the open controls of some kinds are about, or of all."""
        return frozenset(
            it.subject.session_id
            for it in self._open
            if (not kinds or it.kind in kinds)
            and isinstance(it.subject, SessionSubject)
            and it.subject.session_id is not None
        )

    def apply_desired_states(self, nodes: Sequence[WorkerView]) -> list[WorkerView]:
        """Set the states of the nodes; returns the nodes in their new states.

        A node that has just registered is ready by itself: it gets its desired
        state before anything is placed on it.
        """
        running = {"", *(it.incarnation for it in nodes)}
        kinds: dict[str, set[str]] = defaultdict(set)
        forced: set[str] = set()
        # Of a node, one process is replaced at a time: each costs the RAM of another one.
        replacing = {it.node: it.name for it in nodes if it.state == "replacing"}
        for control in self._open:
            if isinstance(control.subject, NodeSubject) and control.incarnation in running:
                name = control.subject.name
                if control.kind == "replace" and replacing.setdefault(node_of(name), name) != name:
                    continue
                kinds[control.subject.name].add(control.kind)
                if control.forced:
                    forced.add(control.subject.name)
        counts = self._table.counts()
        return [
            self._apply(
                it,
                node_state.target_state(
                    node_state.desired_state(self._desired_states, it.name),
                    state=it.state,
                    kinds=kinds[it.name],
                    forced=it.name in forced,
                    sessions=counts.get(it.incarnation, 0),
                ),
            )
            for it in nodes
        ]

    def _apply(self, node: WorkerView, state: str) -> WorkerView:
        if node.state not in LIVE_STATES or not node_state.may_change(node.state, state):
            return node
        if not self._registry.set_desired_state(node.name, node.incarnation, state, self._term):  # type: ignore[arg-type]
            return node
        log.info("node_desired_state_set", node=node.name, state=state)
        return replace(node, state=state)  # type: ignore[arg-type]

    def restart_unresponsive(
        self, unanswered: Mapping[str, int], nodes: Sequence[WorkerView], now: float
    ) -> None:
        """Restart nodes that send heartbeats and do not answer orders.

        ``unanswered`` is incarnation → how many of its sessions have not answered.
        The supervisor ends the host: only then are they free. A node for which that
        has not helped, such as one with another secret key, is cordoned.
        """
        for node in nodes:
            count = unanswered.get(node.incarnation)
            if not count or node.state not in LIVE_STATES:
                continue
            recycle = self._find_recycle(node.name)
            if recycle is not None and recycle.forced:
                continue
            last = self._restarted_at.get(node.name)
            again = last is not None and now - last < _RESTART_AGAIN_SECONDS
            note = f"node does not answer for {count} sessions"
            if again:
                note += " again, and is cordoned"
            try:
                with transaction():
                    cluster.hold(self._term)
                    self._request_restart(node, recycle, note, cordon=again)
            except UsageError as error:
                log.info("control_superseded", node=node.name, reason=str(error))
                continue
            self._restarted_at[node.name] = now
            log.error("node_unresponsive", node=node.name, sessions=count, cordoned=again)
            self.read()

    def _find_recycle(self, node: str) -> Control | None:
        subject = NodeSubject(node)
        found = [it for it in self._open if it.kind == "recycle" and it.subject == subject]
        return found[-1] if found else None

    def _request_restart(
        self, node: WorkerView, recycle: Control | None, note: str, *, cordon: bool
    ) -> None:
        subject = NodeSubject(node.name)
        if recycle is not None:
            controls.force(recycle.id, note)
        else:
            controls.request(
                kind="recycle",
                subject=subject,
                actor=_ACTOR,
                incarnation=node.incarnation,
                forced=True,
                note=note,
            )
        if cordon and self._desired_states.get(node.name) != "cordoned":
            workers.set_desired_state(node.name, "cordoned")
            controls.request(kind="cordon", subject=subject, actor=_ACTOR, note=note)

    def asked_wakes(self) -> set[int]:
        """Return the sessions that operators have just woken or resumed, and no node has."""
        return set(self._of_sessions("wake", "resume").difference(self._table.active))

    def asked_moves(self) -> dict[int, str]:
        """Return the moves that operators request: session → node, empty for any.

        They include those that have begun: a new leader begins them again.
        """
        return {
            it.subject.session_id: it.target
            for it in self._open
            if it.kind == "move"
            and isinstance(it.subject, SessionSubject)
            and it.subject.session_id is not None
        }

    def advance(
        self,
        nodes: Sequence[WorkerView],
        moving: Mapping[int, Placement],
        news: MoveNews,
        now: float,
    ) -> bool:
        """Note in SQL how far each control has come, and do what its end brings.

        True when this coordinator itself has to restart.
        """
        if not self._open:
            self._news.step(0, now)
            return False
        self._newest = max(self._newest, self._open[-1].id)
        snapshots = ControlSnapshots(
            nodes=nodes,
            desired_states=self._desired_states,
            table=self._table,
            standings=placing.standing(sorted(self._sessions)),
            moving=moving,
            news=news,
        )
        changed = 0
        with transaction():
            cluster.hold(self._term)
            for control in self._open:
                try:
                    changed += self._advance_one(control, snapshots, now)
                except TransitionError as error:
                    # An operator has cancelled it since it was read.
                    log.info("control_superseded", control=control.id, reason=str(error))
        self._news.step(changed, now)
        opened = {it.id for it in self._open}
        self._stuck_since = {it: at for it, at in self._stuck_since.items() if it in opened}
        return self._restart.is_due(self._open, now, leads=True)

    def _advance_one(self, control: Control, snapshots: ControlSnapshots, now: float) -> bool:
        """Note how far a control has come; returns whether its state has changed."""
        if control.kind not in _KINDS[type(control.subject)]:
            control_steps.apply(control, _UNKNOWN)  # a newer process has requested it
            return True
        match control.subject:
            case NodeSubject(name):
                node = self._with_stuck_time(control, snapshots.node(name), now)
                step = NODE_PROGRESS[control.kind](_snapshot(control), node)
                control_steps.apply(control, step, incarnation=node.incarnation)
                if step.state == "done":
                    self._finish(control.kind, name)
            case SessionSubject(session_id):
                target = control.target or snapshots.destination(session_id)
                session = snapshots.session(session_id)
                step = SESSION_PROGRESS[control.kind](_snapshot(control, target), session)
                control_steps.apply(control, step, target=target)
            case CoordinatorsSubject():
                coordinators = self._restart.snapshot(control, now)
                step = COORDINATORS_PROGRESS[control.kind](_snapshot(control), coordinators)
                control_steps.apply(control, step)
        return bool(step.state)

    def _with_stuck_time(self, control: Control, node: NodeSnapshot, now: float) -> NodeSnapshot:
        """Return the node with the time for which nothing of it could move."""
        if not node.sessions or node.stuck < node.sessions:
            self._stuck_since.pop(control.id, None)
            return node
        since = self._stuck_since.setdefault(control.id, now)
        return replace(node, stuck_seconds=now - since)

    def _finish(self, kind: str, node: str) -> None:
        if kind == "drain":
            # As with other schedulers: a drained node stays empty until it is uncordoned.
            workers.set_desired_state(node, "cordoned")
        elif kind == "remove":
            self._registry.forget(node, self._term)
            workers.remove(node)


def _snapshot(control: Control, target: str = "") -> ControlSnapshot:
    return ControlSnapshot(state=control.state, incarnation=control.incarnation, target=target)
