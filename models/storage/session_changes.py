"""Changes of many sessions: who asked for which, and how far each has come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from afx.errors import NotFoundError
from models import sorting
from models.accounts import ApiToken
from models.base import execute, execute_many, insert_many, micros, transaction, utc_now
from models.bulk_tables import SessionChange, SessionChangeItem
from models.paging import Page
from models.sorting import Column

_ORDERS = {"id": Column(SessionChange.id)}
_COUNTED = ("requested", "done", "refused")


@dataclass(slots=True, frozen=True)
class NewChange:
    """A change to be made."""

    token: int
    actor: str
    owner: str
    verb: str
    node: str
    reason: str
    sessions: Sequence[str]
    matched: int
    next: str | None


@dataclass(slots=True, frozen=True)
class Outcome:
    """What came of one session of a change."""

    state: str
    control: int | None
    note: str


def create(new: NewChange) -> int:
    """Store a change with its sessions, none of which is changed yet; returns its id.

    One of no session is done.
    """
    with transaction():
        made = SessionChange.create(
            token_id=new.token,
            actor=new.actor,
            owner=new.owner,
            verb=new.verb,
            node=new.node,
            reason=new.reason,
            state="running" if new.sessions else "done",
            matched=new.matched,
            count=len(new.sessions),
            next=new.next,
            finished_at=None if new.sessions else utc_now(),
        )
        insert_many(
            "session_change_items",
            ("change_id", "position", "session", "state", "control", "note"),
            [(made.id, number, it, "waiting", None, "") for number, it in enumerate(new.sessions)],
        )
    return int(made.id)


def find(change_id: int, *, owner: str = "") -> dict[str, Any]:
    """Return one change, of actors limited to ``owner`` if given; raises NotFoundError."""
    found = _described(owner).where(SessionChange.id == change_id).dicts().first()
    if found is None:
        raise NotFoundError(
            f"There is no change {change_id}; 'afx session change list' shows those there are."
        )
    return dict(found)


def listing(
    *, before: int | None = None, limit: int = 100, owner: str = "", sort: str = "-id"
) -> Page:
    """Return changes, the newest first, of actors limited to ``owner`` if given."""
    return sorting.fetch(_described(owner), _ORDERS, sort, after=before, limit=limit)


def items(change_id: int) -> list[dict[str, Any]]:
    """Return the sessions of a change with what came of them, in their order."""
    table = SessionChangeItem
    query = table.select(table.session, table.state, table.control, table.note)
    return list(query.where(table.change == change_id).order_by(table.position).dicts())


def running() -> list[int]:
    """Return the ids of changes that have not ended, the oldest first."""
    query = SessionChange.select(SessionChange.id).where(SessionChange.state == "running")
    return [it for (it,) in query.order_by(SessionChange.id).tuples()]


def lock(change_id: int) -> bool:
    """Keep a change that runs from others until the transaction ends; False: it has ended."""
    # A write: in SQLite, too, what is read behind it is not changed by another process.
    return bool(
        execute(
            "UPDATE session_changes SET state = state WHERE id = ? AND state = 'running'",
            change_id,
        ).rowcount
    )


def is_permitted(token: int) -> bool:
    """Return whether the token of a change is still valid."""
    return bool(
        ApiToken.select()
        .where(
            (ApiToken.id == token) & ApiToken.revoked_at.is_null(), ApiToken.expires_at > utc_now()
        )
        .exists()
    )


def waiting(change_id: int, most: int) -> list[tuple[int, str]]:
    """Return the next sessions of a change that wait, as (item, name)."""
    table = SessionChangeItem
    query = table.select(table.id, table.session).where(
        (table.change == change_id) & (table.state == "waiting")
    )
    return list(query.order_by(table.position).limit(most).tuples())


def note(change_id: int, outcomes: Sequence[tuple[int, Outcome]]) -> None:
    """Note what came of sessions, given by their items; in the transaction that changed them."""
    execute_many(
        "UPDATE session_change_items SET state = ?, control = ?, note = ? WHERE id = ?",
        [(it.state, it.control, it.note, item) for item, it in outcomes],
    )
    counts = [sum(it.state == state for _, it in outcomes) for state in _COUNTED]
    execute(
        "UPDATE session_changes SET requested = requested + ?, done = done + ?,"
        " refused = refused + ? WHERE id = ?",
        *counts,
        change_id,
    )


def finish(change_id: int, state: str, note: str = "") -> None:
    """End a change; what still waits of it is cancelled."""
    with transaction():
        table = SessionChangeItem
        table.update(state="cancelled").where(
            (table.change == change_id) & (table.state == "waiting")
        ).execute()
        SessionChange.update(state=state, note=note, finished_at=utc_now()).where(
            (SessionChange.id == change_id) & (SessionChange.state == "running")
        ).execute()


def prune(before: datetime, most: int) -> int:
    """Remove changes that ended before an instant; returns how many."""
    return int(
        execute(
            "DELETE FROM session_changes WHERE id IN (SELECT id FROM session_changes"
            " WHERE finished_at < ? ORDER BY finished_at LIMIT ?)",
            micros(before),
            most,
        ).rowcount
    )


def _described(owner: str) -> Any:
    query = SessionChange.select()
    return query.where(SessionChange.owner == owner) if owner else query
