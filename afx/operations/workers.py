"""Acts on worker nodes."""

from __future__ import annotations

from afx.operations.change import Operator, change
from afx.operations.sessions import Requested
from models.storage import controls, workers

_WANTED = {"cordon": "cordoned", "uncordon": "ready", "drain": "draining"}


def want(operator: Operator, kind: str, name: str) -> Requested:
    """Cordon, uncordon or drain a node; this stays over its restarts."""
    worker = workers.find(name)
    wanted = _WANTED[kind]
    if worker.desired_state == wanted and kind != "drain":
        return Requested(worker.name, None, f"is {wanted} already")
    with change(operator, f"worker.{kind}", f"worker/{worker.name}") as details:
        workers.set_desired_state(worker.name, wanted)
        control = controls.request(kind, operator.actor, worker=worker.name)
        details.update({"from": worker.desired_state, "control": control.id})
    return Requested(worker.name, control.id)


def recycle(operator: Operator, name: str, *, forced: bool = False) -> Requested:
    """Empty a node, let it begin anew with a fresh process, and give it sessions again.

    ``forced`` does not wait until it is empty: its sessions stop and start anew.
    """
    worker = workers.find(name)
    with change(operator, "worker.recycle", f"worker/{worker.name}") as details:
        control = controls.request("recycle", operator.actor, worker=worker.name, forced=forced)
        details.update({"control": control.id, "forced": forced})
    return Requested(worker.name, control.id)


def end(operator: Operator, kind: str, name: str) -> Requested:
    """Stop a node, or remove one that has stopped."""
    worker = workers.find(name)
    with change(operator, f"worker.{kind}", f"worker/{worker.name}") as details:
        control = controls.request(kind, operator.actor, worker=worker.name)
        details["control"] = control.id
    return Requested(worker.name, control.id)
