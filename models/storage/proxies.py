"""Proxies in SQL: which there are, which sessions have them, and whether they work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import peewee
from peewee import JOIN, fn

from afx.errors import ConflictError, NotFoundError, QuotaError
from models import names, paging
from models.base import execute_many, micros, transaction, utc_now
from models.paging import Page
from models.proxy_tables import Proxy
from models.tables import Session

MOST_PROXIES = 20_000
_LONGEST_ERROR = 200


@dataclass(slots=True, frozen=True)
class NewProxy:
    """A proxy to be added."""

    name: str
    pool: str
    kind: str
    host: str
    port: int
    requires: Mapping[str, str]
    seal: Callable[[int], str]
    """Returns the whole of it, sealed for the id that it gets."""


def add(new: NewProxy) -> int:
    """Add a proxy; returns its id. Raises ConflictError, QuotaError."""
    names.check_name("proxy", new.name)
    if new.pool:
        names.check_name("pool", new.pool)
    try:
        with transaction():
            if Proxy.select().count() >= MOST_PROXIES:
                raise QuotaError(f"There are at most {MOST_PROXIES} proxies; remove one first.")
            made = Proxy.create(
                name=new.name,
                pool=new.pool,
                kind=new.kind,
                host=new.host,
                port=new.port,
                sealed="",
                requires=dict(new.requires),
            )
            Proxy.update(sealed=new.seal(made.id)).where(Proxy.id == made.id).execute()
    except peewee.IntegrityError as error:
        raise ConflictError(
            f"There is a proxy '{new.name}' already; choose another name."
        ) from error
    return int(made.id)


def find(text: str) -> Proxy:
    """Return a proxy by name, id or unique beginning; raises UsageError."""
    found: Proxy = names.find(Proxy, "proxy", text)
    return found


def names_beginning(prefix: str) -> list[str]:
    """Return proxies' names that begin with a text (see ``names.completions``)."""
    return names.completions(Proxy.select(Proxy.name), Proxy.name, prefix)


def listing(*, pool: str = "", after: str | None = None, limit: int = 100) -> Page:
    """Return proxies by name, without their secrets; ``pool``: of this one only."""
    query = _described()
    if pool:
        query = query.where(Proxy.pool == pool)
    return paging.fetch(query, Proxy.name, after=after, limit=limit)


def describe(proxy: Proxy) -> dict[str, Any]:
    """Return one proxy as ``listing`` does; raises NotFoundError when it is gone."""
    found: dict[str, Any] | None = _described().where(Proxy.id == proxy.id).dicts().get_or_none()
    if found is None:
        raise NotFoundError("The proxy was removed; 'afx proxy list' shows the others.")
    return found


def least_used(pool: str) -> Proxy:
    """Return the proxy of a pool that fewest sessions have, of those that do not fail.

    Raises NotFoundError for a pool without proxies, ConflictError when all of them fail.
    """
    used = fn.COUNT(Session.id)
    query = (
        Proxy.select(Proxy)
        .join(Session, JOIN.LEFT_OUTER, on=Session.proxy == Proxy.id)
        .where(Proxy.pool == pool)
        .group_by(Proxy.id)
        .order_by(used, Proxy.id)
    )
    found = query.where(Proxy.state != "fails").first()
    if found is not None:
        return found  # type: ignore[no-any-return]
    if Proxy.select().where(Proxy.pool == pool).exists():
        raise ConflictError(
            f"All proxies of the pool '{pool}' fail; 'afx proxy check' tries them again."
        )
    raise NotFoundError(f"There is no pool '{pool}'; 'afx proxy list' shows the pools.")


def remove(proxy: Proxy) -> None:
    """Remove a proxy; raises ConflictError while a session has it."""
    try:
        with transaction():
            users = Session.select(Session.name).where(Session.proxy == proxy)
            found = [name for (name,) in users.order_by(Session.name).limit(3).tuples()]
            if found:
                raise ConflictError(
                    f"The proxy '{proxy.name}' is that of {', '.join(found)}"
                    f"{' and maybe others' if len(found) == 3 else ''}; "
                    "give them another with 'afx session set NAME --proxy'."
                )
            Proxy.delete().where(Proxy.id == proxy.id).execute()
    except peewee.IntegrityError as error:
        raise ConflictError("A session has just got this proxy; it was not removed.") from error


def assign(session: Session, proxy: Proxy | None) -> bool:
    """Let a session connect by way of a proxy only, or of none; returns whether it changed.

    One that runs is stopped, and started again.
    """
    proxy_id = None if proxy is None else proxy.id
    with transaction():
        is_other = Session.proxy.is_null() if proxy_id else Session.proxy.is_null(False)
        if proxy_id:
            is_other |= Session.proxy != proxy_id
        changed = (
            Session.update(proxy=proxy_id, revision=Session.revision + 1, failures=0, retry_at=None)
            .where((Session.id == session.id) & is_other)
            .execute()
        )
    return bool(changed)


def of_session(session_id: int) -> Proxy | None:
    """Return the proxy of a session."""
    return (  # type: ignore[no-any-return]
        Proxy.select(Proxy)
        .join(Session, on=Session.proxy == Proxy.id)
        .where(Session.id == session_id)
        .first()
    )


def failing_sessions() -> list[int]:
    """Return the sessions whose proxy fails."""
    query = Session.select(Session.id).join(Proxy).where(Proxy.state == "fails")
    return [session_id for (session_id,) in query.tuples()]


def note(states: Sequence[tuple[int, str]]) -> None:
    """Note the state of proxies, as (id, why it fails; empty: it works)."""
    now = micros(utc_now())
    execute_many(
        "UPDATE proxies SET state_since = CASE WHEN state = ? THEN state_since ELSE ? END,"
        " state = ?, checked_at = ?, error = ? WHERE id = ?",
        [
            (state, now, state, now, error[:_LONGEST_ERROR], proxy_id)
            for proxy_id, error in states
            for state in ("fails" if error else "works",)
        ],
    )


def note_of_sessions(states: Sequence[tuple[int, str]]) -> list[int]:
    """Note the state of sessions' proxies, as (session, why it fails; empty: it works).

    Returns all sessions of those that fail.
    """
    if not states:
        return []
    query = Session.select(Session.id, Session.proxy).where(
        Session.id.in_([session_id for session_id, _ in states]), Session.proxy.is_null(False)
    )
    proxy_of = dict(query.tuples())
    rows = {proxy_of[it]: error for it, error in states if it in proxy_of}
    note(list(rows.items()))
    failing = [it for it, error in rows.items() if error]
    if not failing:
        return []
    users = Session.select(Session.id).where(Session.proxy.in_(failing))
    return [session_id for (session_id,) in users.tuples()]


def _described() -> Any:
    used = Session.select(fn.COUNT(Session.id)).where(Session.proxy == Proxy.id)
    return Proxy.select(
        Proxy.id,
        Proxy.name,
        Proxy.pool,
        Proxy.kind,
        Proxy.host,
        Proxy.port,
        Proxy.requires,
        Proxy.state,
        Proxy.state_since,
        Proxy.checked_at,
        Proxy.error,
        used.alias("sessions"),
        Proxy.created_at,
    )
