"""Worker nodes: what they report, and what is requested of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from afx.cluster.registry import Registry
from afx.cluster.worker_records import LIVE_STATES, WorkerView
from afx.errors import UsageError
from afx.operations.changes import change
from afx.operations.context import Context, operation
from afx.operations.leader import wake_leader
from afx.operations.requests import Requested, together
from afx.process_names import is_further, is_within, number_of
from models.base import transaction
from models.storage import controls, workers
from models.storage.control_subjects import Control, NodeSubject
from models.tables import Worker

__all__ = ["WorkerView"]

_CONTROLS_SHOWN = 20


@dataclass(slots=True, frozen=True)
class WorkerDetail:
    """One node: what the database knows of it, and what it reports."""

    name: str
    state: str
    desired_state: str
    hostname: str
    first_seen: datetime
    last_seen: datetime
    controls: tuple[str, ...]
    """The controls that are not finished."""
    view: WorkerView | None
    """None when Redis does not know the node. Of several processes the first live one."""
    processes: tuple[WorkerView, ...] = ()
    """Its host processes that Redis knows, by number."""


@dataclass(slots=True, frozen=True)
class NodeSummary:
    """A node with all its host processes."""

    name: str
    state: str
    """Of its processes; several where they differ."""
    processes: int
    sessions: int
    assigned: int
    """As the coordinator counts them."""
    load: float
    """Of its process with the most."""
    max_sessions: int
    rss: int
    ram_free: int
    cpu: float
    forwarded: int
    hostname: str
    labels: Mapping[str, str]


def by_node(views: Sequence[WorkerView]) -> tuple[NodeSummary, ...]:
    """Return the nodes to which host processes belong, in the order of the first ones.

    Of a node that runs, only the processes that live count.
    """
    nodes: dict[str, list[WorkerView]] = {}
    for it in views:
        nodes.setdefault(it.node, []).append(it)
    return tuple(_summary(name, parts) for name, parts in nodes.items())


def _summary(name: str, parts: Sequence[WorkerView]) -> NodeSummary:
    parts = [it for it in parts if it.state in LIVE_STATES] or parts
    metrics = [it.metrics for it in parts]
    return NodeSummary(
        name=name,
        state=", ".join(sorted({it.state for it in parts})),
        processes=len(parts),
        sessions=sum(it.sessions for it in metrics),
        assigned=sum(it.assigned for it in parts),
        load=max(it.load for it in metrics),
        max_sessions=sum(it.max_sessions for it in parts),
        rss=sum(it.rss for it in metrics),
        ram_free=sum(it.ram_free for it in metrics),
        cpu=sum(it.cpu for it in metrics) / len(parts),
        forwarded=sum(it.forwarded for it in metrics),
        hostname=parts[0].hostname,
        labels=parts[0].labels,
    )


@operation("worker:read", database=False)
def listing(context: Context, labels: Mapping[str, str] | None = None) -> tuple[WorkerView, ...]:
    """Return the nodes that Redis knows, by name; only those with all given labels."""
    required = (labels or {}).items()
    nodes = Registry(context.servers.redis()).all()
    return tuple(it for it in nodes if required <= it.labels.items())


@operation("worker:read", database=False)
def live_names(context: Context, labels: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the names of the live nodes that have all given labels.

    Raises UsageError when there is none.
    """
    live = (it.node for it in listing(context, labels) if it.state in LIVE_STATES)
    names = tuple(dict.fromkeys(live))
    if not names:
        raise UsageError("There is no such live node; 'afx worker list' shows all nodes.")
    return names


@operation("worker:read", database=False)
def least_loaded(context: Context, names: Sequence[str]) -> str:
    """Return the one of some nodes that is emptied soonest: with the fewest sessions."""
    views = listing(context)

    def cost(name: str) -> tuple[int, float, str]:
        parts = [it for it in views if is_within(it.name, name)]
        load = max((it.metrics.load for it in parts), default=0.0)
        return sum(it.assigned for it in parts), load, name

    return min(names, key=cost)


@operation("worker:read")
def show(context: Context, name: str) -> WorkerDetail:
    """Return one node: its report, its desired state, its open controls."""
    worker = workers.find(name)
    subject = name if is_further(name) else worker.name
    found = [it for it in listing(context) if is_within(it.name, subject)]
    found.sort(key=lambda it: it.process)
    view = next((it for it in found if it.state in LIVE_STATES), found[0] if found else None)
    opened = controls.listing(worker=worker.name, only_open=True, limit=_CONTROLS_SHOWN)
    return WorkerDetail(
        name=worker.name,
        state=view.state if view else worker.state,
        desired_state=worker.desired_state,
        hostname=worker.hostname,
        first_seen=worker.first_seen,
        last_seen=worker.last_seen,
        controls=tuple(_control_text(it, worker.name) for it in opened.rows),
        view=view,
        processes=tuple(found),
    )


def _control_text(control: Mapping[str, Any], name: str) -> str:
    about = "" if control["worker"] == name else f" of {control['worker']}"
    return f"{control['id']} {control['kind']}{about} ({control['state']})"


@operation("worker:read")
def names_beginning(context: Context, prefix: str) -> list[str]:
    """Return a few nodes' names that begin with a text."""
    del context
    return workers.names_beginning(prefix)


@operation("worker:write")
def cordon(context: Context, names: Sequence[str]) -> tuple[Requested, ...]:
    """Request that nodes get no more sessions; this outlives their restarts."""
    return _set_desired_states(context, names, "cordon", "cordoned")


@operation("worker:write")
def uncordon(context: Context, names: Sequence[str]) -> tuple[Requested, ...]:
    """Request that nodes get sessions again; ends a drain."""
    return _set_desired_states(context, names, "uncordon", "ready")


@operation("worker:write")
def drain(context: Context, names: Sequence[str]) -> tuple[Requested, ...]:
    """Request that all sessions of nodes move to others; the nodes stay cordoned."""
    return _set_desired_states(context, names, "drain", "draining")


@operation("worker:write")
def recycle(
    context: Context, name: str, *, forced: bool = False, in_place: bool = False
) -> Requested:
    """Do what ``recycle_processes`` does; the note names the controls of further processes."""
    requested = _recycle(context, name, forced=forced, in_place=in_place)
    # Processes are replaced one after another; the last one's control is done last.
    return together(requested[::-1] if in_place else requested)


@operation("worker:write")
def recycle_processes(
    context: Context, name: str, *, forced: bool = False, in_place: bool = False
) -> tuple[Requested, ...]:
    """Request that a node is emptied, restarts, and gets sessions again.

    ``forced`` does not wait until it is empty: its sessions stop and restart. ``in_place``
    needs no other node: a new host process takes over the sessions one by one, and the old
    one ends. It returns one control for each process: the node is recycled when all are done.
    Raises UsageError for both at once.
    """
    return _recycle(context, name, forced=forced, in_place=in_place)


@operation("worker:write")
def stop(context: Context, names: Sequence[str]) -> tuple[Requested, ...]:
    """Request that nodes stop their sessions and end; other nodes take over."""
    return _end(context, names, "stop")


@operation("worker:write")
def remove(context: Context, names: Sequence[str]) -> tuple[Requested, ...]:
    """Request that nodes which have stopped are removed."""
    return _end(context, names, "remove")


def _recycle(context: Context, name: str, *, forced: bool, in_place: bool) -> tuple[Requested, ...]:
    if forced and in_place:
        raise UsageError("A node is recycled at once or in place; choose one of both.")
    kind = "replace" if in_place else "recycle"
    requested = []
    with transaction():
        chosen = _processes(context, name)
        for worker in chosen:
            open_one = _open_one(kind, worker, chosen)
            if open_one is not None and (open_one.forced or not forced):
                requested.append(_under_way(worker, open_one))
                continue
            with change(context, f"worker.{kind}", f"worker/{worker.name}") as details:
                if open_one is not None:
                    controls.force(open_one.id, open_one.note)
                    control = open_one
                else:
                    control = controls.request(
                        kind=kind,
                        subject=NodeSubject(worker.name),
                        actor=context.actor.name,
                        forced=forced,
                    )
                details.update({"control": control.id, "forced": forced})
            requested.append(Requested(worker.name, control.id))
    wake_leader(context)
    return tuple(requested)


def _open_one(kind: str, worker: Worker, chosen: Sequence[Worker]) -> Control | None:
    """Return the control of one of several processes that is under way already.

    What is requested of one process alone, and is under way, is refused as a conflict.
    """
    if len(chosen) < 2:
        return None
    return controls.find_open(kind=kind, subject=NodeSubject(worker.name))


def _under_way(worker: Worker, control: Control) -> Requested:
    return Requested(worker.name, control.id, "is under way already")


def _set_desired_states(
    context: Context, names: Sequence[str], kind: str, state: str
) -> tuple[Requested, ...]:
    """Request a state of nodes, all or none: a wrong name leaves the others as they were."""
    with transaction():
        chosen = _all_processes(context, names, others=True)
        requested = tuple(_set_desired_state(context, it, kind, state, chosen) for it in chosen)
    wake_leader(context)
    return requested


def _set_desired_state(
    context: Context, worker: Worker, kind: str, state: str, chosen: Sequence[Worker]
) -> Requested:
    subject = NodeSubject(worker.name)
    # To uncordon a node is to end a recycle, which drains the node as well.
    recycle = controls.find_open(kind="recycle", subject=subject) if kind == "uncordon" else None
    if worker.desired_state == state and kind != "drain" and recycle is None:
        return Requested(worker.name, None, f"is already {state}")
    open_one = _open_one(kind, worker, chosen)
    if open_one is not None and worker.desired_state == state and recycle is None:
        return _under_way(worker, open_one)
    with change(context, f"worker.{kind}", f"worker/{worker.name}") as details:
        workers.set_desired_state(worker.name, state)
        if recycle is not None:
            controls.cancel(recycle.id, "superseded: desired state is ready")
        control = controls.request(
            kind=kind, subject=NodeSubject(worker.name), actor=context.actor.name
        )
        details.update(
            {
                "before": {"desired_state": worker.desired_state},
                "after": {"desired_state": state},
                "control": control.id,
            }
        )
    return Requested(worker.name, control.id)


def _processes(context: Context, text: str, *, others: bool = False) -> list[Worker]:
    """Return the processes of a node that a name means; the name of a process means it alone.

    They are the live ones, by number; with ``others``, those that do not run come after them.
    """
    worker = workers.find(text)
    further = [] if is_further(text) else workers.further_processes(worker.name)
    if not further:
        return [worker]
    live = {it.name for it in listing(context) if it.state in LIVE_STATES}
    every = sorted((worker, *further), key=lambda it: (it.name not in live, number_of(it.name)))
    running = [it for it in every if it.name in live]
    return every if others else running or [worker]


def _all_processes(context: Context, names: Sequence[str], *, others: bool) -> list[Worker]:
    """Return the processes that some names mean, each once."""
    found = [it for name in names for it in _processes(context, name, others=others)]
    return list({it.name: it for it in found}.values())


def _end(context: Context, names: Sequence[str], kind: str) -> tuple[Requested, ...]:
    requested = []
    with transaction():
        chosen = _all_processes(context, names, others=kind == "remove")
        for worker in chosen:
            open_one = _open_one(kind, worker, chosen)
            if open_one is not None:
                requested.append(_under_way(worker, open_one))
                continue
            with change(context, f"worker.{kind}", f"worker/{worker.name}") as details:
                control = controls.request(
                    kind=kind, subject=NodeSubject(worker.name), actor=context.actor.name
                )
                details.update({"before": {"state": worker.state}, "control": control.id})
            requested.append(Requested(worker.name, control.id))
    wake_leader(context)
    return tuple(requested)
