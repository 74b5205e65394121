"""Which sessions are meant, and how the state of each is told from the rows about it."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any

from peewee import JOIN, SQL, Case, fn

from afx.errors import UsageError, printable
from afx.process_names import named
from models import names
from models.base import is_postgres
from models.proxy_tables import Proxy
from models.states import ACCOUNT_HEALTH
from models.storage import workers
from models.tables import Session, SessionAssignment, SessionQueue, User

STATES = (
    "running",
    "assigned",
    "stopping",
    "waiting",
    "paused",
    "hibernated",
    "quarantined",
    "unplaced",
    "removing",
)
QUARANTINE_FAILURES = 6
"""After so many failures in a row a session is retried rarely, and listed as troubled."""


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
    health: str | None = None
    """One of ``ACCOUNT_HEALTH``."""


def described() -> Any:
    """Return the query of sessions with user, node and state."""
    state = Case(
        None,
        (
            (Session.removing, "removing"),
            (SessionAssignment.state.is_null(False), SessionAssignment.state),
            (Session.desired_state.in_(("paused", "hibernated")), Session.desired_state),
            (quarantined(), "quarantined"),
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
            Session.hibernation,
            Session.wakes_at,
            Session.login_at,
            Session.login_days,
            Session.account,
            Session.bot,
            Session.health,
            Session.health_since,
            Session.health_error,
            Proxy.name.alias("proxy"),
            Proxy.error.alias("proxy_error"),
        )
        .join(User)
        .switch(Session)
        .join(
            SessionAssignment,
            JOIN.LEFT_OUTER,
            on=(SessionAssignment.session == Session.id)
            & (SessionAssignment.state != SQL("'ended'")),
        )
        .switch(Session)
        .join(SessionQueue, JOIN.LEFT_OUTER, on=SessionQueue.session == Session.id)
        .switch(Session)
        .join(Proxy, JOIN.LEFT_OUTER)
    )


def quarantined() -> Any:
    """Return the condition that a session is retried rarely."""
    return (Session.failures >= QUARANTINE_FAILURES) & (Session.trouble != "")


def _requires(label: str) -> Any:
    """Return the condition that a session requires a label, ``KEY=VALUE``."""
    key, _, value = label.partition("=")
    part = json.dumps({key: value}, separators=(",", ":"))[1:-1]
    # Quotes inside of keys and values are escaped: the part is found as a whole pair only.
    find = fn.STRPOS if is_postgres() else fn.INSTR
    return find(Session.requires.cast("TEXT"), part) > 0


def filtered(query: Any, chosen: SessionFilter) -> Any:
    """Return what a filter leaves of a query; raises UsageError for an unknown state."""
    if chosen.user is not None:
        query = query.where(Session.user == names.find(User, "user", chosen.user))
    if chosen.tier is not None:
        query = query.where(User.tier == chosen.tier)
    if chosen.node is not None:
        further = [it.name for it in workers.further_processes(chosen.node)]
        worker = SessionAssignment.worker
        node = named(chosen.node)
        here = worker.in_([node, *further]) if further else worker == node
        query = query.where(here)
    if chosen.troubled:
        query = query.where(Session.trouble != "")
    if chosen.label is not None:
        query = query.where(_requires(chosen.label))
    if chosen.health is not None:
        if chosen.health not in ACCOUNT_HEALTH:
            known = ", ".join(ACCOUNT_HEALTH)
            raise UsageError(
                f"There is no health '{printable(chosen.health)}'; it is one of {known}."
            )
        query = query.where(Session.health == chosen.health)
    if chosen.prefix:
        query = query.where(names.beginning(Session.name, chosen.prefix))
    idle = SessionAssignment.id.is_null() & ~Session.removing
    if chosen.state in ("running", "assigned", "stopping"):
        query = query.where((SessionAssignment.state == chosen.state) & ~Session.removing)
    elif chosen.state == "removing":
        query = query.where(Session.removing)
    elif chosen.state in ("paused", "hibernated"):
        query = query.where((Session.desired_state == chosen.state) & idle)
    elif chosen.state == "quarantined":
        query = query.where((Session.desired_state == "running") & quarantined(), idle)
    elif chosen.state in ("waiting", "unplaced"):
        waits = SessionQueue.reason.is_null(chosen.state == "unplaced")
        query = query.where((Session.desired_state == "running") & ~quarantined() & waits, idle)
    elif chosen.state is not None:
        raise UsageError(
            f"There is no state '{printable(chosen.state)}'; it is one of {', '.join(STATES)}."
        )
    return query


def kept(chosen: SessionFilter) -> tuple[str, list[Any]] | None:
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
        case ["user"]:
            return "user", [names.find(User, "user", str(chosen.user)).id]
        case ["node"]:
            several = workers.further_processes(str(chosen.node))
            return None if several else ("node", [named(str(chosen.node))])
        case ["prefix"]:
            return "prefix", names.bound_by_beginning(chosen.prefix)
        case []:
            return "all", []
    return None
