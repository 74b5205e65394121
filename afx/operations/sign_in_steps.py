"""New logins of sessions that are there already, for clients that ask a person themselves.

Nothing of a sign-in that is under way is stored: the client keeps it, sealed, from step to step.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from afx.devices import own_device, parse_device
from afx.errors import AfxError, ConflictError, SecretError, UsageError
from afx.operations import logins, sign_ins
from afx.operations.context import Context, operation
from afx.operations.sessions import SessionRow
from afx.proxies import parse_proxy
from models.base import utc_now
from models.storage import proxies, sessions

if TYPE_CHECKING:
    from afx.telegram.login import Server, Signed
    from afx.telegram.sign_in_steps import Asked, At

T = TypeVar("T")
LIFE = timedelta(minutes=10)
"""How long a sign-in may take from one step to the next."""


@dataclass(slots=True, frozen=True)
class Telegram:
    """As which application to sign in, and where."""

    api_id: int
    api_hash: str
    server: Server | None = None


Find = Callable[[], Telegram]
"""Called once a sign-in is allowed; raises ConflictError where nobody can sign in."""


@dataclass(slots=True, frozen=True)
class SignIn:
    """How far the sign-in of a session has come."""

    session: str
    state: str
    """What it needs, ``code`` or ``password``; ``done``: the session has its new login."""
    sign_in: str
    """Sealed: to be given with the next answer; empty when it is done, and in a dry run."""
    expires_at: datetime | None
    account: int | None
    """Telegram's id of the account, once it is done."""
    control: int | None
    """What lets the session run again; None: there is nothing to wait for."""
    note: str


@operation("session:write", owned=True)
def begin(
    context: Context, name: str, phone: str, telegram: Find, *, set_account: bool = False
) -> SignIn:
    """Let Telegram send a code to the phone of a session's account.

    A dry run checks that the session can get a new login. Raises UsageError for what Telegram
    refuses, ConflictError when it asks to wait, UnreachableError when it does not answer.
    """
    from afx.telegram import sign_in_steps

    row = sign_ins.check_again(context, name, set_account=set_account)
    if context.dry_run:
        return SignIn(row.name, "code", "", None, None, None, "")
    asked = _asked(sign_in_steps.send_code(phone, _at(context, row.id, telegram)))
    return _sealed(context, row, asked, set_account)


@operation("session:write", owned=True)
def answer(
    context: Context, name: str, sign_in: str, telegram: Find, *, code: str, password: str
) -> SignIn:
    """Go on with a sign-in by the code, or by the password of two-step verification.

    ``sign_in`` is what the step before gave, to the same actor. Raises UsageError for a wrong
    answer, which may be given again, and for the login of another account, which is ended.
    """
    from afx.telegram import sign_in_steps

    row = sign_ins.check_again(context, name, set_account=True)
    asked, set_account = _opened(context, row.id, sign_in)
    given = {"code": code, "password": password}
    if [it for it, text in given.items() if text] != [asked.needs]:
        raise UsageError(f"This step needs the {asked.needs}, and nothing else; give it.")
    if context.dry_run:
        return SignIn(row.name, asked.needs, "", None, None, None, "")
    at = _at(context, row.id, telegram)
    found: Asked | Signed
    if asked.needs == "code":
        found = _asked(sign_in_steps.give_code(asked, code, at))
    else:
        found = _asked(sign_in_steps.give_password(asked, password, at))
    if isinstance(found, sign_in_steps.Asked):
        return _sealed(context, row, found, set_account)
    try:
        return _given(context, row.name, found, set_account=set_account)
    except (UsageError, ConflictError, SecretError):
        # Else it would stay in the account's list of devices, and nobody had it.
        _end(found, at)
        raise


@operation("session:write", owned=True)
def give(
    context: Context, name: str, login: str, telegram: Find, *, set_account: bool = False
) -> SignIn:
    """Give a session another login of its account, as a session string.

    Telegram is asked whose it is. A dry run looks at the text alone. Raises UsageError for a
    login that Telegram does not accept, or of another account.
    """
    from afx.telegram import sign_in_steps

    row = sign_ins.check_again(context, name, set_account=set_account)
    text = logins.check(login)
    logins.check_server(text, context.settings.login_servers)
    if context.dry_run:
        return SignIn(row.name, "done", "", None, None, None, "")
    sign_ins.check_unused(context, text)
    at = _at(context, row.id, telegram)
    found = _asked(sign_in_steps.account_of(text, at))
    return _given(context, row.name, found, set_account=set_account, login=text)


def _given(
    context: Context, name: str, found: Signed, *, set_account: bool, login: str = ""
) -> SignIn:
    done = sign_ins.replace_login(
        context,
        name,
        login or found.login,
        account=found.account_id,
        bot=found.bot,
        set_account=set_account,
    )
    return SignIn(done.target, "done", "", None, found.account_id, done.control, done.note)


def _at(context: Context, session: int, telegram: Find) -> At:
    """Return how the session's node would connect, for whoever may give it a login."""
    from afx.telegram.sign_in_steps import At

    vault, proxy = context.servers.vault(), proxies.of_session(session)
    found = telegram()
    url = None if proxy is None else vault.open_proxy(proxy.sealed, proxy_id=proxy.id)
    device = sessions.device(session)
    own = own_device(session).text
    return At(
        found.api_id,
        found.api_hash,
        found.server,
        None if url is None else parse_proxy(url),
        parse_device(vault.open_device(device, session_id=session) if device else own),
    )


def _asked(work: Coroutine[Any, Any, T]) -> T:
    """Return what Telegram answers."""
    try:
        return asyncio.run(work)
    except AfxError as error:
        if type(error) is AfxError:  # it asks to wait
            raise ConflictError(str(error)) from error
        raise


def _end(found: Signed, at: At) -> None:
    from contextlib import suppress

    from afx.telegram.login import sign_out

    with suppress(AfxError):
        asyncio.run(
            sign_out(
                found.login,
                api_id=at.api_id,
                api_hash=at.api_hash,
                server=at.server,
                proxy=at.proxy,
            )
        )


def _sealed(context: Context, row: SessionRow, asked: Asked, set_account: bool) -> SignIn:
    expires_at = utc_now() + LIFE
    kept = {
        "asked": asdict(asked),
        "actor": context.actor.name,
        "set_account": set_account,
        "expires_at": expires_at.isoformat(),
    }
    sealed = context.servers.vault().seal_sign_in(json.dumps(kept), session_id=row.id)
    return SignIn(row.name, asked.needs, sealed, expires_at, None, None, "")


def _opened(context: Context, session: int, sealed: str) -> tuple[Asked, bool]:
    from afx.telegram.sign_in_steps import Asked

    try:
        kept = json.loads(context.servers.vault().open_sign_in(sealed, session_id=session))
        expires_at = datetime.fromisoformat(kept["expires_at"])
    except (SecretError, ValueError, KeyError, TypeError) as error:
        raise UsageError("That is no sign-in of this session; begin a new one.") from error
    if kept["actor"] != context.actor.name:
        raise UsageError("That is the sign-in of somebody else; begin a new one.")
    if expires_at < utc_now():
        raise UsageError("The sign-in has expired; begin a new one.")
    return Asked(**kept["asked"]), bool(kept["set_account"])
