"""Changes of many sessions as things of their own: each goes on by itself, and can be cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from afx.errors import ConflictError
from afx.operations import session_bulk
from afx.operations.changes import change
from afx.operations.context import Actor, Context, operation
from afx.operations.leader import wake_leader
from afx.operations.pages import Page, page_of
from afx.operations.session_bulk import BulkItem, BulkPlan
from models.base import transaction
from models.storage import session_changes
from models.storage.session_changes import NewChange, Outcome

_SCOPES = frozenset(("session:write",))
_NOT_SHOWN = ("token_id", "owner")


@dataclass(slots=True, frozen=True)
class ChangeRow:
    """A change of many sessions, and how far it has come."""

    id: int | None
    """None: a dry run, of which nothing is stored."""
    verb: str
    node: str
    state: str
    """``running``, ``done``, ``cancelled`` or ``failed``."""
    matched: int
    """How many sessions are meant, those before and after this part included."""
    count: int
    """Sessions of this change."""
    waiting: int
    """Sessions whose turn has not come, or did not come before it ended."""
    requested: int
    done: int
    refused: int
    next: str | None
    """The name to give as ``after`` for the rest; None at the end."""
    note: str
    actor: str
    reason: str
    created_at: datetime | None
    finished_at: datetime | None
    dry_run: bool


@dataclass(slots=True, frozen=True)
class ChangeDetail(ChangeRow):
    """A change of many sessions with what came of each of them."""

    items: Sequence[BulkItem]


@operation("session:write", owned=True)
def request(context: Context, plan: BulkPlan, token: int) -> ChangeDetail:
    """Store a change of many sessions, which ``step`` makes; in a dry run, try it and undo it.

    ``token`` is the id of the actor's token: the change ends with it.
    """
    if context.dry_run:
        return _tried(context, plan)
    new = NewChange(
        token,
        context.actor.name,
        context.actor.owner,
        plan.verb,
        plan.node,
        context.reason,
        plan.names,
        plan.matched,
        plan.next,
    )
    return _detail(session_changes.find(session_changes.create(new)))


@operation("session:read", owned=True)
def show(context: Context, change_id: int) -> ChangeDetail:
    """Return one change of many sessions, with what came of each of them."""
    return _detail(session_changes.find(change_id, owner=context.actor.owner))


@operation("session:read", owned=True)
def listing(
    context: Context, *, after: int | None = None, limit: int = 100, sort: str = "-id"
) -> Page[ChangeRow]:
    """Return changes of many sessions, the newest first."""
    owner = context.actor.owner
    return page_of(_row, session_changes.listing(before=after, limit=limit, owner=owner, sort=sort))


@operation("session:write", owned=True)
def cancel(context: Context, change_id: int) -> str:
    """Cancel a change that is not finished; what was requested of sessions so far stays.

    Returns what it did, in a sentence; raises ConflictError for one that has ended.
    """
    found = session_changes.find(change_id, owner=context.actor.owner)
    with transaction(keep=not context.dry_run):
        # The row before the audit log's head, as ``step`` locks them.
        if not session_changes.lock(change_id):
            raise ConflictError(f"Change {change_id} has ended already; see what came of it.")
        left = _row(**session_changes.find(change_id)).waiting
        with change(context, "session.change.cancel", f"session-change/{change_id}") as details:
            session_changes.finish(change_id, "cancelled", f"{context.actor.name} cancelled it")
            details["before"] = {"verb": found["verb"], "waiting": left}
    return f"change {change_id} is cancelled: {left} of {found['count']} sessions stay as they are"


@operation("session:write")
def running(context: Context) -> list[int]:
    """Return the ids of changes that have not ended, the oldest first."""
    del context
    return session_changes.running()


@operation("session:write")
def step(context: Context, change_id: int) -> bool:
    """Change the next few sessions of a change in the name of who asked for it.

    The sessions and how far it has come are one transaction: whoever makes the steps, and
    whenever one dies, each session is changed once. Returns whether there is another step.
    """
    with transaction():
        if not session_changes.lock(change_id):
            return False
        found = session_changes.find(change_id)
        if not session_changes.is_permitted(found["token_id"]):
            session_changes.finish(change_id, "cancelled", "its token is not valid any more")
            return False
        part = session_changes.waiting(change_id, session_bulk.AT_ONCE)
        names = tuple(name for _, name in part)
        actor = Actor(found["actor"], _SCOPES, found["owner"])
        by = replace(context, actor=actor, reason=found["reason"], exact=True, dry_run=False)
        plan = BulkPlan(found["verb"], found["node"], names, found["matched"], None)
        outcomes = [
            (item, Outcome(it.state, it.control, it.note))
            for (item, _), it in zip(part, session_bulk.carry_out(by, plan, 0), strict=True)
        ]
        session_changes.note(change_id, outcomes)
        more = bool(session_changes.waiting(change_id, 1))
        if not more:
            session_changes.finish(change_id, "done")
    wake_leader(context)
    return more


@operation("session:write")
def give_up(context: Context, change_id: int) -> None:
    """End a change whose next step fails in a way that nobody has foreseen."""
    del context
    session_changes.finish(change_id, "failed", "it failed; see the log of the API")


def _tried(context: Context, plan: BulkPlan) -> ChangeDetail:
    items = session_bulk.change(context, plan).items
    counts = {state: sum(it.state == state for it in items) for state in _COUNTED}
    return ChangeDetail(
        id=None,
        verb=plan.verb,
        node=plan.node,
        state="done",
        matched=plan.matched,
        count=len(items),
        waiting=0,
        **counts,
        next=plan.next,
        note="",
        actor=context.actor.name,
        reason=context.reason,
        created_at=None,
        finished_at=None,
        dry_run=True,
        items=items,
    )


_COUNTED = ("requested", "done", "refused")


def _fields(found: dict[str, Any]) -> dict[str, Any]:
    waiting = found["count"] - sum(found[it] for it in _COUNTED)
    shown = {name: it for name, it in found.items() if name not in _NOT_SHOWN}
    return {**shown, "waiting": waiting, "dry_run": False}


def _row(**found: Any) -> ChangeRow:
    return ChangeRow(**_fields(found))


def _detail(found: dict[str, Any]) -> ChangeDetail:
    items = tuple(BulkItem(**it) for it in session_changes.items(found["id"]))
    return ChangeDetail(**_fields(found), items=items)
