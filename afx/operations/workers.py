"""Worker nodes: what they report, and what is requested of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from afx.cluster.registry import Registry
from afx.cluster.worker_records import LIVE_STATES, WorkerView
from afx.errors import UsageError
from afx.operations.changes import change
from afx.operations.context import Context, operation
from afx.operations.requests import Requested
from models.base import transaction
from models.storage import controls, workers
from models.storage.control_subjects import NodeSubject

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
    """None when Redis does not know the node."""


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
    names = tuple(it.name for it in listing(context, labels) if it.state in LIVE_STATES)
    if not names:
        raise UsageError("There is no such live node; 'afx worker list' shows all nodes.")
    return names


@operation("worker:read", database=False)
def least_loaded(context: Context, names: Sequence[str]) -> str:
    """Return the one of some nodes that is emptied soonest: with the fewest sessions."""
    views = {it.name: it for it in listing(context)}

    def cost(name: str) -> tuple[int, float, str]:
        view = views.get(name)
        return (view.assigned, view.metrics.load, name) if view else (0, 0.0, name)

    return min(names, key=cost)


@operation("worker:read")
def show(context: Context, name: str) -> WorkerDetail:
    """Return one node: its report, its desired state, its open controls."""
    worker = workers.find(name)
    view = next((it for it in listing(context) if it.name == worker.name), None)
    opened = controls.listing(worker=worker.name, only_open=True, limit=_CONTROLS_SHOWN)
    return WorkerDetail(
        name=worker.name,
        state=view.state if view else worker.state,
        desired_state=worker.desired_state,
        hostname=worker.hostname,
        first_seen=worker.first_seen,
        last_seen=worker.last_seen,
        controls=tuple(f"{it['id']} {it['kind']} ({it['state']})" for it in opened.rows),
        view=view,
    )


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
def recycle(context: Context, name: str, *, forced: bool = False) -> Requested:
    """Request that a node is emptied, restarts, and gets sessions again.

    ``forced`` does not wait until it is empty: its sessions stop and restart.
    """
    worker = workers.find(name)
    with change(context, "worker.recycle", f"worker/{worker.name}") as details:
        control = controls.request(
            kind="recycle",
            subject=NodeSubject(worker.name),
            actor=context.actor.name,
            forced=forced,
        )
        details.update({"control": control.id, "forced": forced})
    return Requested(worker.name, control.id)


@operation("worker:write")
def stop(context: Context, names: Sequence[str]) -> tuple[Requested, ...]:
    """Request that nodes stop their sessions and end; other nodes take over."""
    return _end(context, names, "stop")


@operation("worker:write")
def remove(context: Context, names: Sequence[str]) -> tuple[Requested, ...]:
    """Request that nodes which have stopped are removed."""
    return _end(context, names, "remove")


def _set_desired_states(
    context: Context, names: Sequence[str], kind: str, state: str
) -> tuple[Requested, ...]:
    """Request a state of nodes, all or none: a wrong name leaves the others as they were."""
    with transaction():
        return tuple(_set_desired_state(context, name, kind, state) for name in names)


def _set_desired_state(context: Context, name: str, kind: str, state: str) -> Requested:
    worker = workers.find(name)
    subject = NodeSubject(worker.name)
    # To uncordon a node is to end a recycle, which drains the node as well.
    recycle = controls.find_open(kind="recycle", subject=subject) if kind == "uncordon" else None
    if worker.desired_state == state and kind != "drain" and recycle is None:
        return Requested(worker.name, None, f"is already {state}")
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


def _end(context: Context, names: Sequence[str], kind: str) -> tuple[Requested, ...]:
    requested = []
    with transaction():
        for name in names:
            worker = workers.find(name)
            with change(context, f"worker.{kind}", f"worker/{worker.name}") as details:
                control = controls.request(
                    kind=kind, subject=NodeSubject(worker.name), actor=context.actor.name
                )
                details.update({"before": {"state": worker.state}, "control": control.id})
            requested.append(Requested(worker.name, control.id))
    return tuple(requested)
