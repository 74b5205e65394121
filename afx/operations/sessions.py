"""Sessions: where they run, and what is requested of them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from afx.coordinator.decisions.account_health import ADVICE, Health
from afx.coordinator.decisions.hibernation import Times, sleep_seconds
from afx.devices import own_device
from afx.errors import ConflictError, UsageError
from afx.operations import logins
from afx.operations.changes import change
from afx.operations.context import Context, operation
from afx.operations.leader import wake_leader
from afx.operations.new_accounts import NEW, new_until
from afx.operations.new_accounts import advice as new_advice
from afx.operations.pages import Page, page_of
from afx.operations.requests import Requested
from afx.operations.rules import RuleRow
from afx.process_names import is_further, is_within
from models.base import transaction, utc_now
from models.names import check_name
from models.storage import (
    assignments,
    controls,
    hibernation,
    proxies,
    rules,
    sessions,
    users,
    workers,
)
from models.storage.control_subjects import SessionSubject
from models.storage.sessions import NewSession, SessionFilter
from models.tables import Session, User

if TYPE_CHECKING:
    from afx.security.vault import Vault

__all__ = ["SessionFilter"]

STATES = sessions.STATES
HEALTH = tuple(str(it) for it in Health)
_RULES_SHOWN = 50
_ASSIGNMENTS_SHOWN = 10


@dataclass(slots=True, frozen=True)
class SessionRow:
    """One session of a list."""

    id: int
    name: str
    user: str
    tier: str
    desired_state: str
    state: str
    """One of ``STATES``."""
    node: str | None
    epoch: int | None
    waits: str | None
    """Why it waits in the overflow queue."""
    trouble: str
    requires: Mapping[str, str]
    created_at: datetime
    hibernation: str
    """Why it hibernates, ``requested``, ``no_rule`` or ``quiet``; empty: it does not."""
    wakes_at: datetime | None
    """When it wakes by itself; None while it is awake."""
    login_at: datetime | None
    """When it got its present login; None: when it was added."""
    login_days: int | None
    """After how many days without use Telegram ends its login; None: nobody has asked."""
    account: int | None
    """Telegram's id of its account; None when that is not known."""
    bot: bool
    """Whether the account is known to be a bot."""
    health: str
    """What Telegram lets the account do: one of ``HEALTH``; ``new`` in the view of one alone."""
    health_since: datetime | None
    health_error: str
    """What Telegram answered when it was last shown."""
    proxy: str | None
    """The only way in which it connects; None: directly."""
    proxy_error: str | None
    """Why its proxy fails; empty or None: it does not."""


@dataclass(slots=True, frozen=True)
class AssignmentRow:
    """One time that a node was given a session."""

    id: int
    node: str
    epoch: int
    state: str
    reason: str
    assigned_at: datetime
    running_at: datetime | None
    ended_at: datetime | None


@dataclass(slots=True, frozen=True)
class SessionDetail:
    """One session, with the first of its rules and the last of its assignments."""

    session: SessionRow
    rules: tuple[RuleRow, ...]
    history: tuple[AssignmentRow, ...]
    advice: str
    """What can be done about its account's health; empty for a healthy one."""


@operation("session:read", owned=True)
def listing(
    context: Context,
    chosen: SessionFilter | None = None,
    *,
    after: Any = None,
    limit: int = 100,
    sort: str = "name",
) -> Page[SessionRow]:
    """Return sessions with user, node and state, by name or by id."""
    chosen = chosen or SessionFilter()
    owner = context.actor.owner
    if owner:
        context.require_owner(chosen.user or owner)
        # The filter takes beginnings of names: it would find another user's.
        chosen = replace(chosen, user=None)
    return page_of(
        SessionRow, sessions.listing(chosen, after=after, limit=limit, owner=owner, sort=sort)
    )


@operation("session:read", owned=True)
def show(context: Context, name: str) -> SessionDetail:
    """Return one session, its rules, and where it ran before."""
    session = _find(context, name)
    row = _row(session)
    advice = ADVICE[Health(row.health)]
    until = new_until(
        created_at=row.created_at,
        account=row.account,
        bot=row.bot,
        days=context.settings.new_account_days,
        now=utc_now(),
    )
    if until and row.health == Health.HEALTHY:
        row, advice = replace(row, health=NEW, health_since=row.created_at), new_advice(until)
    return SessionDetail(
        row,
        page_of(RuleRow, rules.listing(session=session, limit=_RULES_SHOWN)).rows,
        page_of(AssignmentRow, assignments.history(session, limit=_ASSIGNMENTS_SHOWN)).rows,
        advice,
    )


@operation("session:read", owned=True)
def names_beginning(context: Context, prefix: str) -> list[str]:
    """Return a few sessions' names that begin with a text."""
    return sessions.names_beginning(prefix, owner=context.actor.owner)


@operation("session:write", owned=True)
def check_new(context: Context, name: str, user: str) -> str:
    """Check that a session of a name can be added for a user; returns the user's full name.

    Before a person signs in, so that the login is not in vain. Raises UsageError, and
    SecretError when it could not be stored.
    """
    check_name("session", name)
    owner = _find_owner(context, user)
    if sessions.taken([(name, None)])[0]:
        raise UsageError(f"There is a session '{name}' already; choose another name.")
    check_vault(context.servers.vault())
    return str(owner.name)


@operation("session:write", owned=True)
def add(
    context: Context,
    name: str,
    user: str,
    login: str,
    *,
    account: int | None = None,
    bot: bool = False,
    proxy: str = "",
    device: str = "",
    reserved: int | None = None,
) -> int:
    """Add a session by its login string; returns its id.

    ``account`` is Telegram's id of the account, where a sign-in has told it; through
    ``proxy``, by its name, alone the session connects. ``device`` is what it says of itself,
    as ``afx.devices`` writes it; ``reserved``: an id of ``reserve``. Raises
    UsageError for a bad string, a taken name, and a login that exists under another name.
    """
    text = logins.check(login)
    logins.check_server(text, context.settings.login_servers)
    owner = _find_owner(context, user)
    vault = context.servers.vault()
    check_vault(vault)
    if proxy:
        context.require("proxy:read")
    proxy_id = proxies.find(proxy).id if proxy else None
    with change(context, "session.add", f"session/{name}") as details:
        [session_id] = [reserved] if reserved else sessions.reserve_ids(1)
        sealed = vault.seal(text, session_id=session_id)
        of_device = vault.seal_device(device, session_id=session_id) if device else ""
        mark = logins.fingerprint(text)
        new = NewSession(name, sealed, mark, session_id, account, bot, proxy_id, of_device)
        session = sessions.create(owner, new)
        details["after"] = {"user": owner.name, "id": session.id}
    return int(session.id)


@operation("session:write", owned=True)
def reserve(context: Context) -> int:
    """Return an id for a session that will be added: its device is called by it."""
    del context
    with transaction():
        return sessions.reserve_ids(1)[0]


@operation("session:write")
def device_of(context: Context, session_id: int) -> str:
    """Return what a session says of itself, as ``afx.devices`` writes it; secrets included."""
    sealed = sessions.device(session_id)
    if not sealed:
        return own_device(session_id).text
    return context.servers.vault().open_device(sealed, session_id=session_id)


def check_vault(vault: Vault) -> None:
    """Check that the vault's key is the one of the logins that are stored.

    With another one, nodes could open the old logins or the new ones, not both.
    Raises SecretError.
    """
    if (newest := sessions.newest_login()) is not None:
        session_id, sealed = newest
        vault.open(sealed, session_id=session_id)


@operation("session:write", owned=True)
def pause(context: Context, name: str) -> Requested:
    """Request that a session stops; it misses nothing and continues when resumed."""
    return _set_desired_state(context, name, "paused", "pause", ("paused",))


@operation("session:write", owned=True)
def resume(context: Context, name: str) -> Requested:
    """Request that a paused session runs again; clears its trouble."""
    settled = ("running", "assigned", "waiting", "unplaced")
    return _set_desired_state(context, name, "running", "resume", settled)


@operation("session:write", owned=True)
def hibernate(context: Context, name: str, *, though_fresh: bool = False) -> Requested:
    """Request that a session hibernates: it wakes from time to time, and misses nothing.

    Raises ConflictError for one that was added lately (setting ``hibernate_fresh_hours``),
    unless ``though_fresh``.
    """
    session = _find(context, name)
    row = _row(session)
    if row.desired_state == "paused":
        return Requested(session.name, None, "is paused; resume it")
    if row.hibernation == "requested" and not row.trouble:
        is_asleep = row.desired_state == "hibernated"
        note = "hibernates already" if is_asleep else "hibernates already, and is awake now"
        return Requested(session.name, None, note)
    times = Times.from_settings(context.settings)
    age = (utc_now() - (row.login_at or row.created_at)).total_seconds()
    if age < times.fresh and not though_fresh:
        how = "got a new login" if row.login_at else "was added"
        raise ConflictError(
            f"Session '{session.name}' {how} {age / 3600:.1f} h ago; a login hibernates after "
            f"{times.fresh / 3600:g} h (hibernate_fresh_hours)."
        )
    seconds = sleep_seconds("requested", times, random.random(), row.login_days)
    with change(context, "session.hibernate", f"session/{session.name}") as details:
        hibernation.request(session, utc_now() + timedelta(seconds=seconds))
        hibernation.wake_until_run(session)
        _request_change(context, session, row, "hibernate", "hibernated", details)
    return Requested(session.name, details["control"])


@operation("session:write", owned=True)
def wake(context: Context, name: str) -> Requested:
    """Request that a session that hibernates runs again, and stays awake."""
    session = _find(context, name)
    row = _row(session)
    if row.desired_state == "paused":
        return Requested(session.name, None, "is paused and does not hibernate; resume it")
    if not row.hibernation:
        return Requested(session.name, None, "does not hibernate")
    if row.hibernation == "no_rule" and not rules.for_sessions([session.id]):
        # The leader would let it hibernate again with its next pass.
        return Requested(session.name, None, "has no enabled rule; a rule or a task wakes it")
    with change(context, "session.wake", f"session/{session.name}") as details:
        sessions.set_desired_state(session, "running")
        _request_change(context, session, row, "wake", "running", details)
    return Requested(session.name, details["control"])


@operation("session:write", owned=True)
def hibernate_all(context: Context, names: Sequence[str]) -> tuple[Requested, ...]:
    """Request that sessions hibernate: all of them, or none."""
    with transaction(keep=not context.dry_run):
        requested = tuple(hibernate(context, name) for name in names)
    wake_leader(context)
    return requested


@operation("session:write", owned=True)
def wake_all(context: Context, names: Sequence[str]) -> tuple[Requested, ...]:
    """Request that sessions wake and stay awake: all of them, or none."""
    with transaction(keep=not context.dry_run):
        requested = tuple(wake(context, name) for name in names)
    wake_leader(context)
    return requested


@operation("session:write", owned=True)
def require(context: Context, name: str, labels: Mapping[str, str]) -> tuple[str, bool]:
    """Set the labels that a session's node must have; returns (name, whether it changed)."""
    session = _find(context, name)
    if session.requires == labels:
        return session.name, False
    with change(context, "session.require", f"session/{session.name}") as details:
        sessions.set_requires(session, dict(labels))
        details.update(
            {"before": {"requires": session.requires}, "after": {"requires": dict(labels)}}
        )
    return session.name, True


@operation("session:write", owned=True)
def move(context: Context, name: str, node: str = "") -> Requested:
    """Request that a session runs on another node; empty: on any other one."""
    session = _find(context, name)
    found = workers.find(node).name if node else ""
    target = node if is_further(node) else found  # w1.1 is less than w1
    row = _row(session)
    if target and is_within(row.node or "", target) and row.state == "running":
        return Requested(session.name, None, f"already runs on {target}")
    with change(context, "session.move", f"session/{session.name}") as details:
        control = controls.request(
            kind="move", subject=SessionSubject(session.id), actor=context.actor.name, target=target
        )
        details.update(
            {"before": {"node": row.node}, "after": {"node": target}, "control": control.id}
        )
    return Requested(session.name, control.id)


@operation("session:write", owned=True)
def remove(context: Context, name: str) -> Requested:
    """Request that a session is removed with its rules, once no node runs it.

    One that no node has ever run is removed at once.
    """
    session = _find(context, name)
    row = _row(session)
    with change(context, "session.remove", f"session/{session.name}") as details:
        details["before"] = {"id": row.id, "user": row.user, "state": row.state}
        if sessions.remove_unused(session):
            return Requested(session.name, None, "is removed")
        sessions.mark_removing(session)
        control = controls.request(
            kind="remove", subject=SessionSubject(session.id), actor=context.actor.name
        )
        details["control"] = control.id
    return Requested(session.name, control.id)


def _set_desired_state(
    context: Context, name: str, state: str, kind: str, settled: tuple[str, ...]
) -> Requested:
    session = _find(context, name)
    row = _row(session)
    is_settled = row.desired_state == state and row.state in settled and not row.hibernation
    if is_settled and not row.trouble:
        return Requested(session.name, None, f"is already {row.state}")
    with change(context, f"session.{kind}", f"session/{session.name}") as details:
        sessions.set_desired_state(session, state)
        _request_change(context, session, row, kind, state, details)
    return Requested(session.name, details["control"])


def _request_change(
    context: Context,
    session: Session,
    row: SessionRow,
    kind: str,
    state: str,
    details: dict[str, Any],
) -> None:
    """Request the control of a new desired state; ``details`` are those of its audit entry."""
    control = controls.request(
        kind=kind, subject=SessionSubject(session.id), actor=context.actor.name
    )
    before = {"desired_state": row.desired_state, "trouble": row.trouble}
    if row.hibernation:
        before["hibernation"] = row.hibernation
    details.update({"before": before, "after": {"desired_state": state}, "control": control.id})


def _find_owner(context: Context, user: str) -> User:
    """Return the user who is to own a session.

    Raises ForbiddenError for every other user than the one that the actor is limited
    to, whether there is such a user or not; UsageError when there is none.
    """
    owner = context.actor.owner
    try:
        return users.find(user, owner=owner)
    except UsageError:
        context.require_owner(user)
        raise


def _find(context: Context, name: str) -> Session:
    return sessions.find(name, owner=context.actor.owner)


def _row(session: Session) -> SessionRow:
    return SessionRow(**sessions.describe(session))
