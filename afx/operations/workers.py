"""Acts on worker nodes."""

from __future__ import annotations

from afx.operations.change import Operator, change
from afx.operations.sessions import Requested
from models.storage import controls, workers
from models.storage.control_subjects import NodeSubject

_WANTED = {"cordon": "cordoned", "uncordon": "ready", "drain": "draining"}


def want(operator: Operator, kind: str, name: str) -> Requested:
    """Cordon, uncordon or drain a node; this stays over its restarts."""
    worker = workers.find(name)
    wanted = _WANTED[kind]
    subject = NodeSubject(worker.name)
    # To uncordon a node is to end a recycle, which drains the node as well.
    recycle = controls.find_open(kind="recycle", subject=subject) if kind == "uncordon" else None
    if worker.desired_state == wanted and kind != "drain" and recycle is None:
        return Requested(worker.name, None, f"is {wanted} already")
    with change(operator, f"worker.{kind}", f"worker/{worker.name}") as details:
        workers.set_desired_state(worker.name, wanted)
        if recycle is not None:
            controls.cancel(recycle.id, "superseded: desired state is ready")
        control = controls.request(kind=kind, subject=subject, actor=operator.actor)
        details.update({"from": worker.desired_state, "control": control.id})
    return Requested(worker.name, control.id)


def recycle(operator: Operator, name: str, *, forced: bool = False) -> Requested:
    """Empty a node, let it begin anew with a fresh process, and give it sessions again.

    ``forced`` does not wait until it is empty: its sessions stop and start anew.
    """
    worker = workers.find(name)
    with change(operator, "worker.recycle", f"worker/{worker.name}") as details:
        control = controls.request(
            kind="recycle", subject=NodeSubject(worker.name), actor=operator.actor, forced=forced
        )
        details.update({"control": control.id, "forced": forced})
    return Requested(worker.name, control.id)


def end(operator: Operator, kind: str, name: str) -> Requested:
    """Stop a node, or remove one that has stopped."""
    worker = workers.find(name)
    with change(operator, f"worker.{kind}", f"worker/{worker.name}") as details:
        control = controls.request(
            kind=kind, subject=NodeSubject(worker.name), actor=operator.actor
        )
        details["control"] = control.id
    return Requested(worker.name, control.id)
