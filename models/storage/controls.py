"""Controls: operators' commands to nodes and about sessions, until they are done.

requested → sent → acknowledged → done, or failed, or cancelled on the way
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from peewee import JOIN, fn

from afx.errors import UsageError
from models import paging
from models.base import execute, micros, transaction, utc_now
from models.names import shown
from models.paging import Page
from models.tables import CONTROL_KINDS, Session, User, WorkerControl
from models.transitions import CONTROL, refuse, sources

OPEN = ("requested", "sent", "acknowledged")


def request(
    kind: str,
    actor: str,
    *,
    worker: str = "",
    incarnation: str = "",
    session: int | None = None,
    forced: bool = False,
    note: str = "",
) -> WorkerControl:
    """Write a command down, for the coordinator to carry out.

    Raises UsageError for an unknown kind, and when the same is under way.
    """
    if kind not in CONTROL_KINDS:
        raise UsageError(f"There is no control '{shown(kind)}'; it is one of {CONTROL_KINDS}.")
    with transaction():
        same = WorkerControl.get_or_none(
            (WorkerControl.kind == kind)
            & (WorkerControl.worker == worker)
            & (
                WorkerControl.session.is_null()
                if session is None
                else WorkerControl.session == session
            )
            & WorkerControl.state.in_(OPEN)
        )
        if same is not None:
            raise UsageError(
                f"That is under way already (control {same.id}, {same.state}); "
                f"see 'afx control show {same.id}'."
            )
        control: WorkerControl = WorkerControl.create(
            kind=kind,
            actor=actor,
            worker=worker,
            incarnation=incarnation,
            session=session,
            forced=forced,
            note=note,
        )
        return control


def get(number: int) -> dict[str, Any]:
    """Return one control; raises UsageError when there is none."""
    found: dict[str, Any] | None = (
        _described().where(WorkerControl.id == number).dicts().get_or_none()
    )
    if found is None:
        raise UsageError(f"There is no control {number}; 'afx control list' shows them.")
    return found


def owner(number: int) -> str:
    """Return the name of the user whose session a control concerns; empty for a node's."""
    query = WorkerControl.select(User.name).join(Session).join(User)
    found = query.where(WorkerControl.id == number).tuples().first()
    return str(found[0]) if found else ""


def open_ones() -> list[WorkerControl]:
    """Return every control that is not finished, the oldest first."""
    return list(
        WorkerControl.select().where(WorkerControl.state.in_(OPEN)).order_by(WorkerControl.id)
    )


def newest() -> int:
    """Return the id of the newest control; 0 when there is none."""
    return WorkerControl.select(fn.MAX(WorkerControl.id)).scalar() or 0


def force(number: int, note: str) -> None:
    """Let an unfinished control end its node as it is; UsageError when it is finished."""
    with transaction():
        changed = (
            WorkerControl.update(forced=True, note=note)
            .where((WorkerControl.id == number) & WorkerControl.state.in_(OPEN))
            .execute()
        )
        if not changed:
            raise UsageError(f"The control {number} is finished.")


def mark_sent(number: int, note: str = "", **bound: str) -> None:
    """Note that the coordinator has given the orders; TransitionError when it cannot.

    ``bound`` are the ``worker`` and the ``incarnation`` that got them.
    """
    _step(number, "sent", note, sent_at=utc_now(), **bound)


def mark_acknowledged(number: int, note: str = "") -> None:
    """Note that the node has heard it; TransitionError when it cannot."""
    _step(number, "acknowledged", note, acknowledged_at=utc_now())


def mark_done(number: int, note: str = "") -> None:
    """Note that what was asked for is so; TransitionError when it cannot."""
    _step(number, "done", note, finished_at=utc_now())


def mark_failed(number: int, reason: str) -> None:
    """Note that it cannot be done, and why; TransitionError when it is finished."""
    _step(number, "failed", reason, finished_at=utc_now())


def cancel(number: int, reason: str) -> None:
    """Call a control off; TransitionError when it is finished."""
    _step(number, "cancelled", reason, finished_at=utc_now())


def set_note(number: int, text: str) -> None:
    """Note how far an unfinished control is."""
    WorkerControl.update(note=text).where(
        (WorkerControl.id == number) & WorkerControl.state.in_(OPEN)
    ).execute()


def listing(
    *,
    before: int | None = None,
    limit: int = 100,
    worker: str | None = None,
    only_open: bool = False,
) -> Page:
    """Return controls, the newest first."""
    query = _described()
    if worker is not None:
        query = query.where(WorkerControl.worker == worker)
    if only_open:
        query = query.where(WorkerControl.state.in_(OPEN))
    return paging.fetch(query, WorkerControl.id, after=before, limit=limit, newest_first=True)


def prune(before: datetime, most: int) -> int:
    """Remove controls that were finished before an instant; returns how many."""
    cursor = execute(
        "DELETE FROM worker_controls WHERE id IN (SELECT id FROM worker_controls"
        " WHERE finished_at < ? ORDER BY finished_at LIMIT ?)",
        micros(before),
        most,
    )
    return int(cursor.rowcount)


def _step(number: int, target: str, text: str, **fields: Any) -> None:
    with transaction():
        changed = (
            WorkerControl.update(state=target, note=text, **fields)
            .where((WorkerControl.id == number) & WorkerControl.state.in_(sources(CONTROL, target)))
            .execute()
        )
        if not changed:
            held = WorkerControl.get_or_none(WorkerControl.id == number)
            raise refuse("control", number, held and held.state, target)


def _described() -> Any:
    return WorkerControl.select(
        WorkerControl.id,
        WorkerControl.kind,
        WorkerControl.state,
        WorkerControl.worker,
        WorkerControl.forced,
        Session.name.alias("session"),
        WorkerControl.actor,
        WorkerControl.note,
        WorkerControl.created_at,
        WorkerControl.sent_at,
        WorkerControl.acknowledged_at,
        WorkerControl.finished_at,
    ).join(Session, JOIN.LEFT_OUTER)
