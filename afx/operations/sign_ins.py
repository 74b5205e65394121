"""A new login for a session that is there already: after its account has ended the old one.

The session keeps its id, and with it its rules, its position, its links and its outboxes.
"""

from __future__ import annotations

from afx.errors import ConflictError, UsageError
from afx.operations import logins
from afx.operations.changes import change
from afx.operations.context import Context, operation
from afx.operations.leader import wake_leader
from afx.operations.requests import Requested
from afx.operations.sessions import SessionRow, check_vault
from models.storage import controls, sessions
from models.storage.control_subjects import SessionSubject
from models.storage.sessions import NewSession


@operation("session:write", owned=True)
def check_again(context: Context, name: str, *, set_account: bool = False) -> SessionRow:
    """Return the session that is to get a new login, before a person signs in.

    Raises what ``replace_login`` would, as far as it is known by now.
    """
    session = sessions.find(name, owner=context.actor.owner)
    row = SessionRow(**sessions.describe(session))
    if row.state == "removing":
        raise ConflictError(f"Session '{row.name}' is being removed; add it anew when it is gone.")
    _check_account(row, set_account)
    check_vault(context.servers.vault())
    return row


def _check_account(row: SessionRow, set_account: bool) -> None:
    """Raise UsageError for a session of which nobody knows the account."""
    if row.account is None and not set_account:
        raise UsageError(
            f"Session '{row.name}' was imported, and its account is not known here; its position "
            "would be wrong for another one. Give --set-account if you sign in to the same."
        )


@operation("session:write", owned=True)
def replace_login(
    context: Context,
    name: str,
    login: str,
    *,
    account: int,
    bot: bool = False,
    set_account: bool = False,
) -> Requested:
    """Give a session a new login of the same account.

    One that runs is restarted; one that was paused because its login was lost, or that
    keeps failing, runs again; one that an operator has paused stays so. Raises UsageError
    for the login of another account: position and links would be wrong for it; and, unless
    ``set_account``, when nobody knows the account of the session (it was imported).
    """
    session = sessions.find(name, owner=context.actor.owner)
    before = SessionRow(**sessions.describe(session))
    text = logins.check(login)
    logins.check_server(text, context.settings.login_servers)
    _check_account(before, set_account)
    if before.account not in (None, account):
        raise UsageError(
            f"You have signed in to account {account}, and session '{before.name}' is of account "
            f"{before.account}; nothing was changed. A session for that account is added "
            "by 'afx session login NAME'."
        )
    vault = context.servers.vault()
    check_vault(vault)
    sealed = vault.seal(text, session_id=session.id)
    new = NewSession(before.name, sealed, logins.fingerprint(text), session.id, account, bot)
    with change(context, "session.login", f"session/{before.name}") as details:
        sessions.replace_login(session, new)
        # Read behind the change, which holds the row: the leader may pause it meanwhile.
        row = SessionRow(**sessions.describe(session))
        details["before"] = {"account": before.account, "trouble": row.trouble}
        details["after"] = {"account": account}
        control = None
        if row.trouble:
            sessions.set_desired_state(session, "running")
            control = controls.request(
                kind="resume", subject=SessionSubject(session.id), actor=context.actor.name
            ).id
            details["control"] = control
    wake_leader(context)
    note = "" if control else f"has a new login and is {row.state}"
    return Requested(row.name, control, note)


@operation("session:write", owned=True)
def check_unused(context: Context, login: str) -> None:
    """Check that no session has this very login: it must not be live twice.

    Raises ConflictError; a session of another user is not named to a limited actor.
    """
    holder = sessions.taken([("", logins.fingerprint(login))])[1]
    if holder:
        name = "" if context.actor.owner else f" '{next(iter(holder.values()))}'"
        raise ConflictError(f"A session{name} has this very login; one login must not run twice.")


@operation("session:read", owned=True)
def of_account(context: Context, account: int) -> list[str]:
    """Return the first names of the sessions of a Telegram account, by its id.

    Two with the same rules post everything twice.
    """
    return sessions.names_of_account(account, owner=context.actor.owner)
