"""Carries out operators' controls, from the request to the acknowledgement.

What is wanted of a node lies in SQL and goes to it with its next heartbeat; the
one after tells that the node has heard it. What is wanted of a session lies in
SQL too, and is acknowledged by what its node reports. So all that is left here
is to see how far each control has come: ``node_step`` and ``session_step``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import structlog

from afx.cluster.registry import LIVE_STATES, Registry, WorkerView
from afx.coordinator.assignments import AssignmentTable
from afx.coordinator.coordinator_restart import CoordinatorRestart, is_for_coordinators
from afx.coordinator.decisions.control_progress import (
    NodeSnapshot,
    SessionSnapshot,
    Step,
    coordinator_step,
    node_step,
    session_step,
)
from afx.coordinator.moves import MoveNews
from afx.errors import UsageError
from models.base import transaction
from models.storage import cluster, controls, placing, workers
from models.storage.placing import Standing
from models.tables import WorkerControl
from models.transitions import TransitionError

_AGAIN_SECONDS = 600.0

log = structlog.get_logger()


class Controls:
    """The controls that are open, and the wishes that stand behind them.

    ``term`` is the leader's, whose controls these are.
    """

    def __init__(
        self, registry: Registry, table: AssignmentTable, restart: CoordinatorRestart, term: int
    ) -> None:
        self._registry = registry
        self._table = table
        self._restart = restart
        self._term = term
        self._open: list[WorkerControl] = []
        self._desired: dict[str, str] = {}
        self._renewed: dict[str, float] = {}
        """Node → when it was last made to begin anew, for it did not answer."""

    def read(self) -> None:
        """Read what operators want, from SQL."""
        self._open = controls.open_ones()
        self._desired = workers.desired_states()

    def apply_desired_states(self, nodes: Sequence[WorkerView]) -> list[WorkerView]:
        """Tell the nodes what is wanted of them; returns them in their new states.

        A node that has just registered is ready by itself: before anything is
        placed it is what it was before.
        """
        homes = {"", *(it.incarnation for it in nodes)}
        kinds = {it.worker: it.kind for it in self._open if it.incarnation in homes}
        forced = {it.worker for it in self._open if it.forced and it.incarnation in homes}
        counts = self._table.counts()
        after: list[WorkerView] = []
        for it in nodes:
            state = self._desired.get(it.name, "ready")
            if kinds.get(it.name) == "stop":
                state = "stopping"
            elif kinds.get(it.name) == "recycle" or it.name in forced:
                # First it is emptied, as by a drain; then it begins anew.
                full = counts[it.incarnation] and it.name not in forced
                state = "draining" if full else "recycling"
            if it.state in LIVE_STATES and it.state not in (state, "stopping", "recycling"):
                if self._registry.set_desired_state(it.name, it.incarnation, state, self._term):  # type: ignore[arg-type]
                    log.info("node_desired_state_set", node=it.name, state=state)
                    it = replace(it, state=state)  # type: ignore[arg-type]  # noqa: PLW2901
            after.append(it)
        return after

    def restart_unresponsive(
        self, silent: Mapping[str, int], nodes: Sequence[WorkerView], now: float
    ) -> None:
        """Let nodes begin anew that live and do not answer orders.

        ``silent`` is incarnation → how many of its sessions it says nothing of. Its
        supervisor ends the host: only then are they free. A node for which that
        has not helped, such as one with another secret key, is cordoned.
        """
        held = {it.worker: it for it in self._open if it.kind == "recycle"}
        for node in nodes:
            count = silent.get(node.incarnation)
            before = held.get(node.name)
            if not count or node.state not in LIVE_STATES or (before and before.forced):
                continue
            told = f"it does not answer for {count} sessions"
            again = now - self._renewed.get(node.name, -_AGAIN_SECONDS) < _AGAIN_SECONDS
            if again:
                told += ", again: it is cordoned"
            try:
                with transaction():
                    cluster.hold(self._term)
                    self._request_renewal(node, before, told, cordon=again)
            except UsageError as error:
                log.info("control_overtaken", node=node.name, reason=str(error))
                continue
            self._renewed[node.name] = now
            log.error("node_silent", node=node.name, reason=told)
            self.read()

    def _request_renewal(
        self, node: WorkerView, before: WorkerControl | None, told: str, *, cordon: bool
    ) -> None:
        if before:
            controls.force(before.id, told)
        else:
            controls.request(
                "recycle",
                "coordinator",
                worker=node.name,
                incarnation=node.incarnation,
                forced=True,
                note=told,
            )
        if cordon and self._desired.get(node.name) != "cordoned":
            workers.set_desired_state(node.name, "cordoned")
            controls.request("cordon", "coordinator", worker=node.name, note=told)

    def asked_moves(self) -> dict[int, str]:
        """Return the moves that operators ask for: session → node, or any.

        Also those that were begun: after a change of the leader they begin anew.
        """
        return {
            it.session_id: it.worker
            for it in self._open
            if it.kind == "move" and it.session_id is not None
        }

    def advance(
        self,
        nodes: Sequence[WorkerView],
        moving: Mapping[int, object],
        news: MoveNews,
        now: float,
    ) -> bool:
        """Note in SQL how far each control has come, and what follows from its end.

        True when this coordinator itself has to begin anew.
        """
        if not self._open:
            return False
        by_name = {it.name: it for it in nodes}
        counts = self._table.counts()
        by_worker: dict[str, int] = {}
        for active in self._table.active.values():
            by_worker[active.worker] = by_worker.get(active.worker, 0) + 1
        standings = placing.standing([it.session_id for it in self._open if it.session_id])
        with transaction():
            cluster.hold(self._term)
            for it in self._open:
                if is_for_coordinators(it):
                    older = self._restart.is_older_than(it)
                    waited = self._restart.waited(it, now)
                    self._take(it, coordinator_step(it.state, older, waited), None)
                elif it.session_id is None and it.worker and it.kind not in ("move",):
                    look = self._node_look(it.worker, by_name, counts, by_worker, news)
                    self._take(it, node_step(it.kind, it.state, it.incarnation, look), look)
                else:
                    session = it.session_id or 0
                    held = self._session_look(
                        standings.get(session),
                        session,
                        session in moving,
                        news.refused.get(session, ""),
                    )
                    target = it.worker or news.begun.get(session, "")
                    self._take(it, session_step(it.kind, it.state, target, held), None, target)
        return self._restart.is_due(self._open, now, leads=True)

    def _session_look(
        self, standing: Standing | None, session: int, moving: bool, refused: str
    ) -> SessionSnapshot:
        if standing is None:
            return SessionSnapshot(exists=False)
        active = self._table.active.get(session)
        return SessionSnapshot(
            True,
            standing.desired_state,
            standing.removing,
            standing.has_rule,
            standing.trouble or standing.waits,
            active.worker if active else "",
            active.state if active else "",
            moving,
            refused,
        )

    def _node_look(
        self,
        name: str,
        by_name: Mapping[str, WorkerView],
        counts: Mapping[str, int],
        by_worker: Mapping[str, int],
        news: MoveNews,
    ) -> NodeSnapshot:
        wanted = self._desired.get(name, "ready")
        view = by_name.get(name)
        if view is None or view.state not in LIVE_STATES:
            return NodeSnapshot("", "", "", wanted, by_worker.get(name, 0))
        return NodeSnapshot(
            view.incarnation,
            view.state,
            view.seen,
            wanted,
            counts.get(view.incarnation, 0),
            news.stuck.get(view.incarnation, 0),
        )

    def _take(
        self, control: WorkerControl, step: Step, look: NodeSnapshot | None, target: str = ""
    ) -> None:
        try:
            self._note(control, step, look, target)
        except TransitionError as error:
            # Somebody called it off since it was read.
            log.info("control_overtaken", control=control.id, reason=str(error))

    def _note(
        self, control: WorkerControl, step: Step, look: NodeSnapshot | None, target: str
    ) -> None:
        number = control.id
        if step.state == "sent":
            bound = {"incarnation": look.incarnation} if look else {"worker": target}
            controls.mark_sent(number, step.note, **bound)
        elif step.state == "acknowledged":
            controls.mark_acknowledged(number, step.note)
        elif step.state == "done":
            controls.mark_done(number, step.note)
            self._follow(control)
        elif step.state == "failed":
            controls.mark_failed(number, step.note)
        elif step.state == "cancelled":
            controls.cancel(number, step.note)
        elif step.note and step.note != control.note:
            controls.set_note(number, step.note)
        if step.state in ("done", "failed", "cancelled"):
            log.info("control_ended", control=number, kind=control.kind, state=step.state)

    def _follow(self, control: WorkerControl) -> None:
        """Do what a control's end brings with it."""
        if control.session_id is not None or not control.worker:
            return
        if control.kind == "drain":
            # As with other schedulers: what was emptied stays empty until it is let go.
            workers.set_desired_state(control.worker, "cordoned")
        elif control.kind == "remove":
            self._registry.forget(control.worker, self._term)
            workers.remove(control.worker)
