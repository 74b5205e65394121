"""Controls: what was requested of nodes and sessions, and cancelling it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from afx.errors import ForbiddenError
from afx.operations.changes import change
from afx.operations.context import Context, operation
from afx.operations.pages import Page, page_of
from models.storage import controls, workers


@dataclass(slots=True, frozen=True)
class ControlRow:
    """One control, from its request to its end."""

    id: int
    kind: str
    state: str
    subject: str
    """What it is about: ``node``, ``session`` or ``coordinators``."""
    worker: str
    forced: bool
    session: str | None
    actor: str
    note: str
    created_at: datetime
    sent_at: datetime | None
    acknowledged_at: datetime | None
    finished_at: datetime | None


@operation("control:read")
def listing(
    context: Context,
    *,
    after: int | None = None,
    limit: int = 100,
    worker: str | None = None,
    only_open: bool = False,
    sort: str = "-id",
) -> Page[ControlRow]:
    """Return controls, the newest first, or in the order of their ids."""
    del context
    found = controls.listing(
        before=after, limit=limit, worker=worker, only_open=only_open, sort=sort
    )
    return page_of(ControlRow, found)


@operation("control:read")
def some(context: Context, ids: Sequence[int]) -> tuple[ControlRow, ...]:
    """Return the controls of these ids that there are, in the order of the ids."""
    del context
    found = {it["id"]: it for it in controls.of_ids(ids)}
    return tuple(ControlRow(**found[it]) for it in ids if it in found)


@operation("control:read", owned=True)
def show(context: Context, control_id: int) -> ControlRow:
    """Return one control; raises UsageError when there is none."""
    check_owner(context, control_id)
    return ControlRow(**controls.get(control_id))


@operation("control:write", owned=True)
def cancel(context: Context, control_id: int) -> str:
    """Cancel a control; a node that it was draining stays cordoned.

    Returns what that means, in a sentence. Raises TransitionError when it is
    finished, UsageError when there is none.
    """
    check_owner(context, control_id)
    control = ControlRow(**controls.get(control_id))
    with change(context, "control.cancel", f"control/{control_id}") as details:
        controls.cancel(control_id, f"cancelled by {context.actor.name}")
        details.update(
            {
                "kind": control.kind,
                "worker": control.worker,
                "session": control.session,
                "before": {"state": control.state, "note": control.note},
                "after": {"state": "cancelled"},
            }
        )
        if control.kind == "drain":
            workers.set_desired_state(control.worker, "cordoned")
            return f"the drain of {control.worker} is cancelled; the node stays cordoned"
    return f"control {control_id} ({control.kind}) is cancelled"


def check_owner(context: Context, control_id: int) -> None:
    """Raise ForbiddenError for a control that is not about a session of the actor's owner.

    Whether there is such a control does not show.
    """
    owner = context.actor.owner
    if owner and controls.owner(control_id) != owner:
        raise ForbiddenError(
            f"Control {control_id} is not about a session of user '{owner}'; "
            "see the controls of that user's sessions."
        )
