"""Controls: commands to nodes, about sessions and to coordinators, until they are done.

requested → sent → acknowledged → done, or failed, or cancelled on the way
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from peewee import JOIN, fn

from afx.errors import ConflictError, NotFoundError, UsageError, printable
from afx.process_names import LONGEST_NODE_NAME, node_of
from models import names, sorting
from models.base import execute, micros, transaction, utc_now
from models.paging import Page
from models.sorting import Column
from models.storage.control_subjects import (
    KINDS,
    Control,
    CoordinatorsSubject,
    NodeSubject,
    SessionSubject,
    Subject,
)
from models.tables import Session, User, WorkerControl
from models.transitions import CONTROL, refuse, sources

_ORDERS = {"id": Column(WorkerControl.id)}
OPEN = ("requested", "sent", "acknowledged")


def request(
    *,
    kind: str,
    subject: Subject,
    actor: str,
    target: str = "",
    incarnation: str = "",
    forced: bool = False,
    note: str = "",
) -> Control:
    """Store a control, for the coordinator to carry out.

    ``target`` is the node to which a session moves, empty for any. Raises
    UsageError when the subject has no such control, and when the same is under way.
    """
    kinds = KINDS[type(subject)]
    if kind not in kinds:
        raise UsageError(f"There is no control '{printable(kind)}' here; use one of {kinds}.")
    if kind == "replace" and isinstance(subject, NodeSubject):
        _check_successor_name(subject.name)
    columns = _columns(subject, target)
    with transaction():
        same = WorkerControl.get_or_none(_matches(kind, columns))
        if same is not None:
            raise ConflictError(
                f"That is under way already (control {same.id}, {same.state}); "
                f"see 'afx control show {same.id}'."
            )
        return _control(
            WorkerControl.create(
                kind=kind, actor=actor, incarnation=incarnation, forced=forced, note=note, **columns
            )
        )


def _check_successor_name(name: str) -> None:
    if len(node_of(name)) > LONGEST_NODE_NAME:
        raise UsageError(
            f"The name of this node has {len(node_of(name))} characters, which leaves none for "
            "that of a second process; recycle it without --in-place."
        )


def find_open(*, kind: str, subject: Subject) -> Control | None:
    """Return the unfinished control of a kind about a subject, if there is one."""
    row = WorkerControl.get_or_none(_matches(kind, _columns(subject)))
    return None if row is None else _control(row)


def ages(node: str, *, kinds: Sequence[str], actor: str, within_seconds: float) -> list[float]:
    """Return how many seconds ago controls of a node's processes were requested by an actor.

    Those of the last ``within_seconds`` only, however they ended.
    """
    now = utc_now()
    query = WorkerControl.select(WorkerControl.worker, WorkerControl.created_at).where(
        (WorkerControl.subject == "node")
        & WorkerControl.kind.in_(list(kinds))
        & (WorkerControl.actor == actor)
        & (WorkerControl.created_at > now - timedelta(seconds=within_seconds))
    )
    found = [at for worker, at in query.tuples() if node_of(worker) == node]
    return [max(0.0, (now - at).total_seconds()) for at in found]


def get(control_id: int) -> dict[str, Any]:
    """Return one control; raises UsageError when there is none."""
    found: dict[str, Any] | None = (
        _described().where(WorkerControl.id == control_id).dicts().get_or_none()
    )
    if found is None:
        raise NotFoundError(f"There is no control {control_id}; 'afx control list' shows them.")
    return found


def owner(control_id: int) -> str:
    """Return the name of the user whose session a control is about; empty for others."""
    query = WorkerControl.select(User.name).join(Session).join(User)
    found = query.where(WorkerControl.id == control_id).tuples().first()
    return str(found[0]) if found else ""


def open_ones() -> list[Control]:
    """Return every control that is not finished, the oldest first."""
    query = WorkerControl.select().where(WorkerControl.state.in_(OPEN)).order_by(WorkerControl.id)
    return [_control(it) for it in query]


def newest() -> int:
    """Return the id of the newest control; 0 when there is none."""
    return WorkerControl.select(fn.MAX(WorkerControl.id)).scalar() or 0


def force(control_id: int, note: str) -> None:
    """Let an unfinished control restart its node at once; UsageError when it is finished."""
    with transaction():
        changed = (
            WorkerControl.update(forced=True, note=note)
            .where((WorkerControl.id == control_id) & WorkerControl.state.in_(OPEN))
            .execute()
        )
        if not changed:
            raise ConflictError(f"Control {control_id} is finished; nothing was changed.")


def mark_sent(control_id: int, *, note: str = "", incarnation: str = "", target: str = "") -> None:
    """Note that the coordinator carries it out; TransitionError when it cannot.

    ``incarnation`` is the one of the node that it was sent to, ``target`` the
    node to which a session moves.
    """
    bound = {"incarnation": incarnation, "worker": target}
    chosen = {column: value for column, value in bound.items() if value}
    _step(control_id, "sent", note, sent_at=utc_now(), **chosen)


def mark_acknowledged(control_id: int, note: str = "") -> None:
    """Note that the node has acknowledged it; TransitionError when it cannot."""
    _step(control_id, "acknowledged", note, acknowledged_at=utc_now())


def mark_done(control_id: int, note: str = "") -> None:
    """Note that it is done; TransitionError when it cannot."""
    _step(control_id, "done", note, finished_at=utc_now())


def mark_failed(control_id: int, reason: str) -> None:
    """Note that it cannot be done, and why; TransitionError when it is finished."""
    _step(control_id, "failed", reason, finished_at=utc_now())


def cancel(control_id: int, reason: str) -> None:
    """Cancel a control; TransitionError when it is finished."""
    _step(control_id, "cancelled", reason, finished_at=utc_now())


def set_note(control_id: int, text: str) -> None:
    """Note how far an unfinished control is."""
    WorkerControl.update(note=text).where(
        (WorkerControl.id == control_id) & WorkerControl.state.in_(OPEN)
    ).execute()


def listing(
    *,
    before: int | None = None,
    limit: int = 100,
    worker: str | None = None,
    only_open: bool = False,
    sort: str = "-id",
) -> Page:
    """Return controls, the newest first.

    ``worker`` selects those about or to one node with all its processes, or one process.
    """
    query = _described()
    if worker is not None:
        processes = names.beginning(WorkerControl.worker, f"{worker}.")
        query = query.where((WorkerControl.worker == worker) | processes)
    if only_open:
        query = query.where(WorkerControl.state.in_(OPEN))
    return sorting.fetch(query, _ORDERS, sort, after=before, limit=limit)


def of_ids(ids: Sequence[int]) -> list[dict[str, Any]]:
    """Return the controls of these ids that there are, as ``listing`` does, in no order."""
    return list(_described().where(WorkerControl.id.in_(list(ids))).dicts()) if ids else []


def prune(before: datetime, most: int) -> int:
    """Remove controls that were finished before an instant; returns how many."""
    cursor = execute(
        "DELETE FROM worker_controls WHERE id IN (SELECT id FROM worker_controls"
        " WHERE finished_at < ? ORDER BY finished_at LIMIT ?)",
        micros(before),
        most,
    )
    return int(cursor.rowcount)


def _step(control_id: int, target: str, text: str, **fields: Any) -> None:
    with transaction():
        changed = (
            WorkerControl.update(state=target, note=text, **fields)
            .where(
                (WorkerControl.id == control_id) & WorkerControl.state.in_(sources(CONTROL, target))
            )
            .execute()
        )
        if not changed:
            row = WorkerControl.get_or_none(WorkerControl.id == control_id)
            raise refuse("control", control_id, row and row.state, target)


def _described() -> Any:
    return WorkerControl.select(
        WorkerControl.id,
        WorkerControl.kind,
        WorkerControl.state,
        WorkerControl.subject,
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


def _columns(subject: Subject, target: str = "") -> dict[str, Any]:
    """Return the columns that hold a subject."""
    match subject:
        case NodeSubject(name):
            return {"subject": "node", "worker": name, "session": None}
        case SessionSubject(session_id):
            return {"subject": "session", "worker": target, "session": session_id}
        case CoordinatorsSubject():
            return {"subject": "coordinators", "worker": "", "session": None}


def _matches(kind: str, columns: dict[str, Any]) -> Any:
    session_id = columns["session"]
    return (
        (WorkerControl.kind == kind)
        & (WorkerControl.subject == columns["subject"])
        & (WorkerControl.worker == columns["worker"])
        & (
            WorkerControl.session.is_null()
            if session_id is None
            else WorkerControl.session == session_id
        )
        & WorkerControl.state.in_(OPEN)
    )


def _control(row: WorkerControl) -> Control:
    return Control(
        id=row.id,
        kind=row.kind,
        state=row.state,
        subject=_subject(row),
        target=row.worker if row.subject == "session" else "",
        incarnation=row.incarnation,
        forced=row.forced,
        note=row.note,
    )


def _subject(row: WorkerControl) -> Subject:
    if row.subject == "node":
        return NodeSubject(row.worker)
    if row.subject == "session":
        return SessionSubject(row.session_id)
    return CoordinatorsSubject()
