"""Sessions: Telegram logins and their desired state."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import peewee
from peewee import JOIN, Case, fn

from afx.errors import ConflictError, UsageError, printable
from models import names, paging
from models.base import (
    execute,
    execute_many,
    insert_many,
    is_postgres,
    micros,
    transaction,
    utc_now,
)
from models.paging import Page
from models.prepared import Prepared
from models.tables import Session, SessionAssignment, SessionQueue, User

STATES = (
    "running",
    "assigned",
    "stopping",
    "waiting",
    "paused",
    "quarantined",
    "unplaced",
    "removing",
)
QUARANTINE_FAILURES = 6
"""After so many failures in a row a session is retried rarely, and listed as troubled."""
_PART = 500
_prepared = Prepared()


@dataclass(slots=True, frozen=True)
class NewSession:
    """A session to be added."""

    name: str
    login: str
    """Sealed by the vault."""
    fingerprint: str | None = None
    """SHA-256 of the login's key, so that no login is added twice."""
    id: int | None = None
    """From ``reserve_ids``: the login is sealed for it. None: the next free one."""


@dataclass(slots=True, frozen=True)
class SessionFilter:
    """Which sessions to list; None: any."""

    user: str | None = None
    tier: str | None = None
    node: str | None = None
    state: str | None = None
    """One of ``STATES``."""
    troubled: bool = False
    prefix: str = ""
    label: str | None = None
    """``KEY=VALUE`` that the session requires of its node."""


def create(user: User, new: NewSession) -> Session:
    """Add a session; raises UsageError when its name or its login is taken."""
    names.check_name("session", new.name)
    with transaction():
        _refuse_taken(new)
        create_many(user, [new])
        session: Session = Session.get(Session.name == new.name)
        return session


def create_many(user: User, rows: Sequence[NewSession]) -> list[int]:
    """Add sessions; returns their ids in order.

    All or none: raises UsageError when a name or a login is taken.
    """
    if not rows:
        return []
    try:
        with transaction():
            ids = _ids_of(rows)
            now = micros(utc_now())
            insert_many(
                "sessions",
                (
                    "id",
                    "user_id",
                    "name",
                    "login",
                    "fingerprint",
                    "desired_state",
                    "removing",
                    "trouble",
                    "failures",
                    "revision",
                    "created_at",
                ),
                [
                    (
                        session_id,
                        user.id,
                        it.name,
                        it.login,
                        it.fingerprint,
                        "running",
                        False,
                        "",
                        0,
                        1,
                        now,
                    )
                    for session_id, it in zip(ids, rows, strict=True)
                ],
            )
            return ids
    except peewee.IntegrityError as error:
        raise ConflictError(
            "A session of one of these names or logins exists; nothing was added."
        ) from error


def taken(rows: Sequence[tuple[str, str | None]]) -> tuple[dict[str, str | None], dict[str, str]]:
    """Return which of some (name, fingerprint) pairs exist.

    As (name → fingerprint, fingerprint → name of the session).
    """
    by_name: dict[str, str | None] = {}
    by_print: dict[str, str] = {}
    chosen = Session.select(Session.name, Session.fingerprint)
    for start in range(0, len(rows), _PART):
        part = rows[start : start + _PART]
        prints = [it for _, it in part if it]
        condition = Session.name.in_([name for name, _ in part])
        if prints:
            condition |= Session.fingerprint.in_(prints)
        for name, fingerprint in chosen.where(condition).tuples():
            by_name[name] = fingerprint
            if fingerprint:
                by_print[fingerprint] = name
    return by_name, by_print


def find(text: str, *, owner: str = "") -> Session:
    """Return a session by name, id or unique prefix; raises UsageError when there is none.

    With ``owner``, a user's name, only that user's sessions are considered.
    """
    session: Session = names.find(Session, "session", text, within=_owned_by(owner))
    return session


def listing(
    chosen: SessionFilter | None = None,
    *,
    after: str | None = None,
    limit: int = 100,
    owner: str = "",
) -> Page:
    """Return sessions with user, node and state, by name.

    ``owner``, a user's full name, limits them to that user's.
    """
    chosen = chosen or SessionFilter()

    def made() -> Any:
        found = _filtered(_described(), chosen)
        return found.where(_owned_by(owner)) if owner else found

    query = paging.Query(made, Session.name)
    kept = _kept(chosen)
    if kept is not None:
        shape, values = kept
        if owner:
            values = [*values, owner]
        return paging.fetch_prepared(
            query, _prepared, (shape, bool(owner)), values, after=after, limit=limit
        )
    return paging.fetch(query.make(), Session.name, after=after, limit=limit)


def _kept(chosen: SessionFilter) -> tuple[str, list[Any]] | None:
    """Return under what a page's statement is kept, and what its filter binds; None: it is not.

    Those of no filter, and of one, are asked for most.
    """
    default = SessionFilter()
    given = [
        it.name for it in fields(chosen) if getattr(chosen, it.name) != getattr(default, it.name)
    ]
    if len(given) > 1:
        return None
    match given:
        case ["state"]:
            return f"state {chosen.state}", []
        case ["node"]:
            return "node", [chosen.node]
        case ["prefix"]:
            return "prefix", names.bound_by_beginning(chosen.prefix)
        case []:
            return "all", []
    return None


def describe(session: Session) -> dict[str, Any]:
    """Return one session with the fields of ``listing``."""
    [found] = _prepared.rows(
        "describe", [session.id], lambda: _described().where(Session.id == session.id)
    )
    return found


def newest_login() -> tuple[int, str] | None:
    """Return (session, its sealed login) of the session that was added last, or None."""
    session = Session.select(Session.id, Session.login).order_by(Session.id.desc()).first()
    return None if session is None else (int(session.id), str(session.login))


def count_matching(chosen: SessionFilter, *, owner: str = "") -> int:
    """Return how many sessions ``listing`` finds."""
    return int(_filtered(_described(), chosen).where(_owned_by(owner)).count())


def count() -> int:
    """Return how many sessions there are."""
    return int(Session.select().count())


def count_by_state() -> dict[str, int]:
    """Return how many sessions are in each of ``STATES``, and ``troubled``."""
    active = SessionAssignment.state != "ended"
    states = dict(
        SessionAssignment.select(SessionAssignment.state, fn.COUNT(SessionAssignment.id))
        .where(active)
        .group_by(SessionAssignment.state)
        .tuples()
    )
    idle = ~fn.EXISTS(
        SessionAssignment.select(SessionAssignment.id).where(
            (SessionAssignment.session == Session.id) & active
        )
    )
    paused = Session.select().where((Session.desired_state == "paused") & ~Session.removing & idle)
    counts = {
        **{state: int(states.get(state, 0)) for state in ("running", "assigned", "stopping")},
        "waiting": int(SessionQueue.select().count()),
        "paused": int(paused.count()),
        "removing": int(Session.select().where(Session.removing & idle).count()),
    }
    counts["quarantined"] = int(
        Session.select()
        .where(_quarantined() & (Session.desired_state == "running") & ~Session.removing & idle)
        .count()
    )
    counts["unplaced"] = max(0, count() - sum(counts.values()))
    counts["troubled"] = int(Session.select().where(Session.trouble != "").count())
    return counts


def set_desired_state(session: Session, state: str) -> None:
    """Set the desired state of a session, and clear its trouble.

    Raises UsageError for a session that is being removed.
    """
    with transaction():
        changed = (
            Session.update(desired_state=state, trouble="", retry_at=None, failures=0)
            .where((Session.id == session.id) & ~Session.removing)
            .execute()
        )
        if not changed:
            raise ConflictError(f"Session '{session.name}' is being removed; nothing was changed.")


def remove_unused(session: Session) -> bool:
    """Remove a session that was never assigned; returns False when it was."""
    with transaction():
        if SessionAssignment.select().where(SessionAssignment.session == session).exists():
            return False
        session.delete_instance()
        return True


def set_requires(session: Session, labels: dict[str, str]) -> None:
    """Set the labels that the node must have; a running session is placed again."""
    with transaction():
        Session.update(requires=labels, revision=Session.revision + 1).where(
            Session.id == session.id
        ).execute()


def mark_removing(session: Session) -> None:
    """Mark a session for removal, which happens when no node runs it."""
    with transaction():
        Session.update(removing=True, desired_state="paused").where(
            Session.id == session.id
        ).execute()


def nth_after(beyond: int, count: int) -> int | None:
    """Return the id of the ``count``-th session after ``beyond``; None when there are fewer."""
    row = execute(
        "SELECT id FROM sessions WHERE id > ? ORDER BY id LIMIT 1 OFFSET ?", beyond, count - 1
    ).fetchone()
    return row[0] if row else None


def removable(limit: int) -> list[int]:
    """Return ids of sessions that are marked for removal and that no node runs."""
    active = SessionAssignment.select(SessionAssignment.id).where(
        (SessionAssignment.session == Session.id) & (SessionAssignment.state != "ended")
    )
    query = Session.select(Session.id).where(Session.removing & ~fn.EXISTS(active)).limit(limit)
    return [number for (number,) in query.tuples()]


def remove_many(ids: Sequence[int]) -> None:
    """Remove sessions with their rules, assignments and queue rows."""
    with transaction():
        execute_many("DELETE FROM sessions WHERE id = ?", [(it,) for it in ids])


def names_beginning(prefix: str, *, owner: str = "") -> list[str]:
    """Return, for completion, names that begin with a text; ``owner`` limits them to a user's."""
    query = Session.select(Session.name).where(_owned_by(owner))
    return names.completions(query, Session.name, prefix)


def _owned_by(owner: str) -> Any:
    if not owner:
        return True
    return Session.user.in_(User.select(User.id).where(User.name == owner))


def _refuse_taken(new: NewSession) -> None:
    by_name, by_print = taken([(new.name, new.fingerprint)])
    if new.name in by_name:
        raise ConflictError(f"There is a session '{new.name}' already; choose another name.")
    if new.fingerprint and new.fingerprint in by_print:
        raise ConflictError(
            f"Session '{by_print[new.fingerprint]}' has this very login already; "
            "one login must not run twice."
        )


def _ids_of(rows: Sequence[NewSession]) -> list[int]:
    """Return the id of each new session: the reserved one, or a new one."""
    fresh = iter(reserve_ids(sum(it.id is None for it in rows)))
    return [next(fresh) if it.id is None else it.id for it in rows]


def reserve_ids(count: int) -> range:
    """Return ids that no session has had before, and that no other one will get."""
    with transaction():
        execute("UPDATE cluster_state SET next_session = next_session + ? WHERE id = 1", count)
        cursor = execute("SELECT next_session FROM cluster_state WHERE id = 1")
        after = int(cursor.fetchone()[0])
    return range(after - count, after)


def _described() -> Any:
    state = Case(
        None,
        (
            (Session.removing, "removing"),
            (SessionAssignment.state.is_null(False), SessionAssignment.state),
            (Session.desired_state == "paused", "paused"),
            (_quarantined(), "quarantined"),
            (SessionQueue.reason.is_null(False), "waiting"),
        ),
        "unplaced",
    )
    return (
        Session.select(
            Session.id,
            Session.name,
            User.name.alias("user"),
            User.tier,
            Session.desired_state,
            state.alias("state"),
            SessionAssignment.worker.alias("node"),
            SessionAssignment.epoch,
            SessionQueue.reason.alias("waits"),
            Session.trouble,
            Session.requires,
            Session.created_at,
        )
        .join(User)
        .switch(Session)
        .join(
            SessionAssignment,
            JOIN.LEFT_OUTER,
            on=(SessionAssignment.session == Session.id) & (SessionAssignment.state != "ended"),
        )
        .switch(Session)
        .join(SessionQueue, JOIN.LEFT_OUTER, on=SessionQueue.session == Session.id)
    )


def _quarantined() -> Any:
    return (Session.failures >= QUARANTINE_FAILURES) & (Session.trouble != "")


def _requires(label: str) -> Any:
    """Return the condition that a session requires a label, ``KEY=VALUE``."""
    key, _, value = label.partition("=")
    part = json.dumps({key: value}, separators=(",", ":"))[1:-1]
    # Quotes inside of keys and values are escaped: the part is found as a whole pair only.
    find = fn.STRPOS if is_postgres() else fn.INSTR
    return find(Session.requires.cast("TEXT"), part) > 0


def _filtered(query: Any, chosen: SessionFilter) -> Any:
    if chosen.user is not None:
        query = query.where(Session.user == names.find(User, "user", chosen.user))
    if chosen.tier is not None:
        query = query.where(User.tier == chosen.tier)
    if chosen.node is not None:
        query = query.where(SessionAssignment.worker == chosen.node)
    if chosen.troubled:
        query = query.where(Session.trouble != "")
    if chosen.label is not None:
        query = query.where(_requires(chosen.label))
    if chosen.prefix:
        query = query.where(names.beginning(Session.name, chosen.prefix))
    idle = SessionAssignment.id.is_null() & ~Session.removing
    if chosen.state in ("running", "assigned", "stopping"):
        query = query.where((SessionAssignment.state == chosen.state) & ~Session.removing)
    elif chosen.state == "removing":
        query = query.where(Session.removing)
    elif chosen.state == "paused":
        query = query.where((Session.desired_state == "paused") & idle)
    elif chosen.state == "quarantined":
        query = query.where((Session.desired_state != "paused") & _quarantined(), idle)
    elif chosen.state in ("waiting", "unplaced"):
        waits = SessionQueue.reason.is_null(chosen.state == "unplaced")
        query = query.where((Session.desired_state != "paused") & ~_quarantined() & waits, idle)
    elif chosen.state is not None:
        raise UsageError(
            f"There is no state '{printable(chosen.state)}'; it is one of {', '.join(STATES)}."
        )
    return query
