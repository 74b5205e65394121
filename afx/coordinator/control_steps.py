"""Writes a control's next step to SQL, inside the caller's transaction."""

from __future__ import annotations

import structlog

from afx.coordinator.decisions.control_progress import Step
from models.storage import controls
from models.storage.control_subjects import Control

log = structlog.get_logger()


def apply(control: Control, step: Step, *, incarnation: str = "", target: str = "") -> None:
    """Note a step; raises TransitionError when the control cannot take it any more.

    ``incarnation`` is the one of the node, ``target`` the node to which a session
    moves: a control that is sent is bound to them.
    """
    match step.state:
        case "sent":
            controls.mark_sent(control.id, note=step.note, incarnation=incarnation, target=target)
        case "acknowledged":
            controls.mark_acknowledged(control.id, step.note)
        case "done":
            controls.mark_done(control.id, step.note)
        case "failed":
            controls.mark_failed(control.id, step.note)
        case "cancelled":
            controls.cancel(control.id, step.note)
        case _ if step.note and step.note != control.note:
            controls.set_note(control.id, step.note)
    if step.state in ("done", "failed", "cancelled"):
        log.info("control_ended", control=control.id, kind=control.kind, state=step.state)
