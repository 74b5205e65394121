"""Carries out operators' controls, from the request to the acknowledgement.

What is wanted of a node lies in SQL and goes to it with its next heartbeat; the
one after tells that the node has heard it. What is wanted of a session lies in
SQL too, and is acknowledged by what its node reports. So all that is left here
is to see how far each control has come: ``node_step`` and ``session_step``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from afx.cluster.registry import LIVE_STATES, Registry, WorkerState, WorkerView
from afx.coordinator.book import Book
from afx.coordinator.moves import MoveNews
from models.base import transaction
from models.storage import cluster, controls, placing, workers
from models.storage.assignments import Active
from models.storage.placing import Standing
from models.tables import WorkerControl
from models.transitions import TransitionError

NODE_STATES: dict[str, WorkerState] = {
    "cordon": "cordoned", "uncordon": "ready", "drain": "draining", "stop": "stopping",
}  # fmt: skip
"""The state of a node in which a control's wish is fulfilled."""

log = structlog.get_logger()


@dataclass(slots=True, frozen=True)
class Step:
    """Where a control has come to; an empty state: it stays where it is."""

    state: str = ""
    note: str = ""


@dataclass(slots=True, frozen=True)
class NodeLook:
    """What the leader sees of a control's node."""

    incarnation: str
    """Empty when none lives."""
    state: str
    seen: str
    wanted: str
    sessions: int
    stuck: int = 0


@dataclass(slots=True, frozen=True)
class SessionLook:
    """What the leader sees of a control's session."""

    standing: Standing | None
    active: Active | None
    moving: bool
    """Room is kept for it on another node."""
    refused: str = ""


def node_step(kind: str, state: str, bound: str, look: NodeLook) -> Step:
    """Return how far a node's control has come.

    ``bound`` is the incarnation to which it was sent, if it was.
    """
    if kind == "remove":
        if look.incarnation:
            return Step("failed", "it lives; stop it first")
        return Step("done" if not look.sessions else "", _left(look))
    if kind == "stop":
        if not look.incarnation or (bound and bound != look.incarnation):
            return Step("done", "it has stopped")
    elif look.wanted != NODE_STATES[kind] and not (kind == "cordon" and look.wanted == "draining"):
        return Step("cancelled", f"it is wanted {look.wanted} since")
    elif not look.incarnation:
        if kind == "drain" and look.sessions:
            return Step("", _left(look))
        return Step("done", f"it does not run; it will begin {_later(kind)}")
    elif look.state == "stopping":
        return Step("failed", "it is about to stop")
    if look.state not in (NODE_STATES[kind], "draining" if kind == "cordon" else ""):
        return Step()
    if state == "requested":
        return Step("sent")
    if state == "sent":
        return Step("acknowledged") if look.seen == look.state else Step()
    if kind == "drain" and look.sessions:
        return Step("", _left(look))
    if kind == "stop":
        return Step("", _left(look))
    return Step("done", "no session is left on it" if kind == "drain" else "")


def session_step(kind: str, state: str, target: str, look: SessionLook) -> Step:
    """Return how far a session's control has come; ``target`` is a move's node."""
    held, active = look.standing, look.active
    if held is None:
        return Step("done" if kind == "remove" else "cancelled", "it is removed")
    if held.removing and kind != "remove":
        return Step("cancelled", "it is being removed")
    here = f"on {active.worker}" if active else ""
    if kind in ("pause", "remove"):
        if kind == "pause" and held.wanted != "paused":
            return Step("cancelled", "it is wanted running since")
        if active is None:
            return Step("done" if kind == "pause" else "", "no node runs it")
        if state == "requested" and active.state == "stopping":
            return Step("sent", f"stopping {here}")
        return Step()
    if held.wanted != "running":
        return Step("cancelled" if kind == "resume" else "failed", "it is paused")
    if not held.has_rule:
        return Step(
            "done" if kind == "resume" else "failed", "it has no enabled rule, so nothing to do"
        )
    if kind == "resume":
        if active and active.state == "running":
            return Step("done", f"it runs {here}")
        return Step("", f"starting {here}" if active else held.trouble or held.waits)
    if active and active.worker == target and active.state == "running" and not look.moving:
        return Step("done", f"it runs {here}")
    if look.moving and state == "requested":
        return Step("sent", f"stopping {here}" if active else "")
    if look.refused and state == "requested":
        return Step("failed", look.refused)
    if state != "requested" and active and active.state == "running" and active.worker != target:
        return Step("failed", f"it runs {here}: {target} had no room when it came")
    return Step("", "" if active else held.trouble or held.waits)


class Controls:
    """The controls that are open, and the wishes that stand behind them."""

    def __init__(self, registry: Registry, book: Book) -> None:
        self._registry = registry
        self._book = book
        self._open: list[WorkerControl] = []
        self._wanted: dict[str, str] = {}

    def read(self) -> None:
        """Read what operators want, from SQL."""
        self._open = controls.open_ones()
        self._wanted = workers.wanted()

    def impose(self, nodes: Sequence[WorkerView], term: int) -> list[WorkerView]:
        """Tell the nodes what is wanted of them; returns them in their new states.

        A node that has just registered is ready by itself: before anything is
        placed it is what it was before.
        """
        stops = {
            it.worker for it in self._open
            if it.kind == "stop" and it.incarnation in ("", *(n.incarnation for n in nodes))
        }  # fmt: skip
        after: list[WorkerView] = []
        for it in nodes:
            state: str = "stopping" if it.name in stops else self._wanted.get(it.name, "ready")
            if it.state in LIVE_STATES and it.state not in (state, "stopping"):
                if self._registry.wish(it.name, it.incarnation, state, term):  # type: ignore[arg-type]
                    log.info("node_wanted", node=it.name, state=state)
                    it = replace(it, state=state)  # type: ignore[arg-type]  # noqa: PLW2901
            after.append(it)
        return after

    def asked_moves(self) -> dict[int, str]:
        """Return the moves that operators ask for: session → node, or any."""
        return {
            it.session_id: it.worker
            for it in self._open
            if it.kind == "move" and it.state == "requested" and it.session_id is not None
        }

    def advance(
        self,
        nodes: Sequence[WorkerView],
        moving: Mapping[int, object],
        news: MoveNews,
        term: int,
    ) -> None:
        """Note in SQL how far each control has come, and what follows from its end."""
        if not self._open:
            return
        by_name = {it.name: it for it in nodes}
        counts = self._book.counts()
        by_worker: dict[str, int] = {}
        for active in self._book.active.values():
            by_worker[active.worker] = by_worker.get(active.worker, 0) + 1
        standings = placing.standing([it.session_id for it in self._open if it.session_id])
        with transaction():
            cluster.hold(term)
            for it in self._open:
                if it.session_id is None and it.worker and it.kind not in ("move",):
                    look = self._node_look(it.worker, by_name, counts, by_worker, news)
                    self._take(it, node_step(it.kind, it.state, it.incarnation, look), look)
                else:
                    session = it.session_id or 0
                    held = SessionLook(
                        standings.get(session), self._book.active.get(session),
                        session in moving, news.refused.get(session, ""),
                    )  # fmt: skip
                    target = it.worker or news.begun.get(session, "")
                    self._take(it, session_step(it.kind, it.state, target, held), None, target)

    def _node_look(
        self,
        name: str,
        by_name: Mapping[str, WorkerView],
        counts: Mapping[str, int],
        by_worker: Mapping[str, int],
        news: MoveNews,
    ) -> NodeLook:
        wanted = self._wanted.get(name, "ready")
        view = by_name.get(name)
        if view is None or view.state not in LIVE_STATES:
            return NodeLook("", "", "", wanted, by_worker.get(name, 0))
        return NodeLook(
            view.incarnation, view.state, view.seen, wanted, counts.get(view.incarnation, 0),
            news.stuck.get(view.incarnation, 0),
        )  # fmt: skip

    def _take(
        self, control: WorkerControl, step: Step, look: NodeLook | None, target: str = ""
    ) -> None:
        try:
            self._note(control, step, look, target)
        except TransitionError as error:
            # Somebody called it off since it was read.
            log.info("control_overtaken", control=control.id, reason=str(error))

    def _note(self, control: WorkerControl, step: Step, look: NodeLook | None, target: str) -> None:
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
            workers.set_wanted(control.worker, "cordoned")
        elif control.kind == "remove":
            self._registry.forget(control.worker)
            workers.remove(control.worker)


def _left(look: NodeLook) -> str:
    if not look.sessions:
        return ""
    told = f"{look.sessions} sessions left"
    return f"{told}, {look.stuck} fit on no other node now" if look.stuck else told


def _later(kind: str) -> str:
    return {"cordon": "cordoned", "uncordon": "ready", "drain": "cordoned"}[kind]
