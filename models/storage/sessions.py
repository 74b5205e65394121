"""Sessions: Telegram logins and their desired state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import peewee
from peewee import fn

from afx.errors import ConflictError, UsageError
from models import names, paging
from models.base import (
    execute,
    execute_many,
    insert_many,
    micros,
    transaction,
    utc_now,
)
from models.paging import Page
from models.prepared import Prepared
from models.session_filter import QUARANTINE_FAILURES as QUARANTINE_FAILURES  # noqa: PLC0414
from models.session_filter import STATES as STATES  # noqa: PLC0414
from models.session_filter import SessionFilter as SessionFilter  # noqa: PLC0414
from models.session_filter import described, filtered, kept, quarantined
from models.sorting import Column, order_of
from models.storage import hibernation, senders, task_owners
from models.tables import Session, SessionAssignment, SessionQueue, User

_PART = 500
_ORDERS = {"name": Column(Session.name), "id": Column(Session.id)}
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
    account: int | None = None
    """Telegram's id of the account, where it is known."""
    bot: bool = False
    proxy: int | None = None
    """Through which alone it connects."""
    device: str = ""
    """What it says of itself, sealed by the vault for the id; empty: as others do."""


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
                    "account",
                    "bot",
                    "proxy_id",
                    "device",
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
                        it.account,
                        it.bot,
                        it.proxy,
                        it.device,
                    )
                    for session_id, it in zip(ids, rows, strict=True)
                ],
            )
            senders.appeared_or_left(user.id, [it.name for it in rows])
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


def ids_of(texts: Sequence[str]) -> dict[str, int]:
    """Return the ids of sessions that are given by their names or ids; without unknown names."""
    found = {it: int(it) for it in texts if it.isascii() and it.isdecimal() and len(it) < 10}
    query = Session.select(Session.name, Session.id).where(Session.name.in_(list(texts)))
    return {**found, **dict(query.tuples())}


def listing(
    chosen: SessionFilter | None = None,
    *,
    after: Any = None,
    limit: int = 100,
    owner: str = "",
    sort: str = "name",
) -> Page:
    """Return sessions with user, node and state, by name or id; of a prefix, by code points.

    ``owner``, a user's full name, limits them to that user's. Raises UsageError for another
    order than ``name`` of those of a prefix: no index has it.
    """
    chosen = chosen or SessionFilter()
    column, backwards = order_of(sort, _ORDERS)
    if chosen.prefix and sort != "name":
        raise UsageError("Names that begin with a text are listed by name; leave out the order.")
    # By its id: within a subquery the database does not see how few sessions a user has.
    owned = [_id_of(owner)] if owner else []

    def made() -> Any:
        found = filtered(described(), chosen)
        return found.where(Session.user == owned[0]) if owned else found

    query = paging.Query(made, column.key, by_code_points=bool(chosen.prefix))
    known = kept(chosen)
    if known is not None:
        shape, values = known
        values = [*values, *owned]
        return paging.fetch_prepared(
            query,
            _prepared,
            (shape, bool(owner), sort),
            values,
            after=after,
            limit=limit,
            newest_first=backwards,
        )
    return paging.fetch(
        query.make(),
        column.key,
        after=after,
        limit=limit,
        newest_first=backwards,
        by_code_points=query.by_code_points,
    )


def describe(session: Session) -> dict[str, Any]:
    """Return one session with the fields of ``listing``."""
    [found] = _prepared.rows(
        "describe", [session.id], lambda: described().where(Session.id == session.id)
    )
    return found


def newest_login() -> tuple[int, str] | None:
    """Return (session, its sealed login) of the session that was added last, or None."""
    session = Session.select(Session.id, Session.login).order_by(Session.id.desc()).first()
    return None if session is None else (int(session.id), str(session.login))


def device(session_id: int) -> str:
    """Return what a session says of itself, sealed; empty: as others do, or there is none."""
    found = Session.select(Session.device).where(Session.id == session_id).tuples().first()
    return str(found[0]) if found else ""


def count_matching(chosen: SessionFilter, *, owner: str = "") -> int:
    """Return how many sessions ``listing`` finds."""
    return int(filtered(described(), chosen).where(_owned_by(owner)).count())


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
    hibernated = Session.select().where(
        (Session.desired_state == "hibernated") & ~Session.removing & idle
    )
    counts = {
        **{state: int(states.get(state, 0)) for state in ("running", "assigned", "stopping")},
        "waiting": int(SessionQueue.select().count()),
        "paused": int(paused.count()),
        "hibernated": int(hibernated.count()),
        "removing": int(Session.select().where(Session.removing & idle).count()),
    }
    counts["quarantined"] = int(
        Session.select()
        .where(quarantined() & (Session.desired_state == "running") & ~Session.removing & idle)
        .count()
    )
    counts["unplaced"] = max(0, count() - sum(counts.values()))
    counts["troubled"] = int(Session.select().where(Session.trouble != "").count())
    return counts


def set_desired_state(session: Session, state: str) -> None:
    """Set the desired state of a session, running or paused, and clear its trouble.

    It does not hibernate any more.
    Raises UsageError for a session that is being removed.
    """
    with transaction():
        changed = (
            Session.update(
                desired_state=state, trouble="", retry_at=None, failures=0, **hibernation.AWAKE
            )
            .where((Session.id == session.id) & ~Session.removing)
            .execute()
        )
        if not changed:
            raise ConflictError(f"Session '{session.name}' is being removed; nothing was changed.")


def bots_among(names: Sequence[str]) -> list[str]:
    """Return which of some sessions, by name, are known to be bots."""
    query = Session.select(Session.name).where(Session.name.in_(list(names)) & Session.bot)
    return [name for (name,) in query.tuples()]


def remove_unused(session: Session) -> bool:
    """Remove a session that was never assigned; returns False when it was."""
    with transaction():
        if SessionAssignment.select().where(SessionAssignment.session == session).exists():
            return False
        remove_many([session.id])
        return True


def replace_login(session: Session, new: NewSession) -> None:
    """Give a session another login of its account; one that runs is restarted with it.

    Only the login, the fingerprint and the account of ``new`` count. Raises UsageError when
    another session has this very login, or this one is being removed.
    """
    with transaction():
        holder = Session.get_or_none(Session.fingerprint == new.fingerprint)
        if holder is not None and holder.id != session.id:
            raise ConflictError(
                f"Session '{holder.name}' has this very login; one login must not run twice."
            )
        changed = (
            Session.update(
                login=new.login,
                fingerprint=new.fingerprint,
                account=new.account,
                bot=new.bot,
                login_at=utc_now(),
                revision=Session.revision + 1,
            )
            .where((Session.id == session.id) & ~Session.removing)
            .execute()
        )
        if not changed:
            raise ConflictError(f"Session '{session.name}' is being removed; nothing was changed.")


def set_requires(session: Session, labels: dict[str, str]) -> None:
    """Set the labels that the node must have; a running session is placed again."""
    with transaction():
        Session.update(requires=labels, revision=Session.revision + 1).where(
            Session.id == session.id
        ).execute()


def mark_removing(session: Session) -> None:
    """Mark a session for removal, which happens when no node runs it."""
    with transaction():
        Session.update(removing=True, desired_state="paused", **hibernation.AWAKE).where(
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
        named = senders.named_by(ids)
        gone = senders.by_user(ids)
        execute_many("DELETE FROM sessions WHERE id = ?", [(it,) for it in ids])
        for user, names_of_gone in gone.items():
            senders.appeared_or_left(user, names_of_gone)
        for user, names_of_user in named.items():
            senders.renew_of_user(user, names_of_user)
        task_owners.forget_sessions(ids)


def names_beginning(prefix: str, *, owner: str = "") -> list[str]:
    """Return, for completion, names that begin with a text; ``owner`` limits them to a user's."""
    query = Session.select(Session.name).where(_owned_by(owner))
    return names.completions(query, Session.name, prefix)


def names_of_account(account: int, *, owner: str = "", limit: int = 10) -> list[str]:
    """Return the first names of the sessions of a Telegram account, by its id."""
    query = Session.select(Session.name).where((Session.account == account) & _owned_by(owner))
    return [it.name for it in query.order_by(Session.name).limit(limit)]


def _id_of(owner: str) -> int:
    found = User.select(User.id).where(User.name == owner).tuples().first()
    return int(found[0]) if found else 0


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


def renewing(most: int) -> dict[int, int]:
    """Return the content, by id, of sessions whose nodes know an older one."""
    query = Session.select(Session.id, Session.content).where(Session.content > Session.renewed)
    return dict(query.limit(most).tuples())


def renew_all() -> None:
    """Let all sessions be renewed whose content has ever changed."""
    Session.update(renewed=0).where(Session.renewed > 0).execute()


def note_renewed(contents: Mapping[int, int]) -> None:
    """Note which content the nodes of sessions were told of, by id."""
    execute_many(
        "UPDATE sessions SET renewed = ? WHERE id = ?",
        [(content, session) for session, content in contents.items()],
    )
