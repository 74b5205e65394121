"""The logins of an account, and after how long without use they end.

Source: core.telegram.org/method/account.getAuthorizations and account.setAuthorizationTTL.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from telethon.tl import functions, types

from afx.sandbox.errors import RpcError
from afx.sandbox.telegram import views
from afx.sandbox.telegram.methods.call import Call, Login, method
from afx.sandbox.telegram.peers import Account

_DAY_SECONDS = 86_400
_MOST_DAYS = 366
"""TDLib, setInactiveSessionTtl: 1 to 366 days."""


def use(key: Login, account: Account, now: float) -> None:
    """Note that a login is used; raises RpcError when it was not for too long."""
    if now - key.used_at > account.login_days * _DAY_SECONDS:
        key.account_id = 0
        raise RpcError(401, "SESSION_EXPIRED")
    key.used_at = now


@method(functions.account.GetAuthorizationsRequest, bots=False)
def get_authorizations(call: Call, request: Any) -> Any:
    """All logins of the account, the asking one among them."""
    return types.account.Authorizations(
        call.me.login_days,
        [_authorization(it, is_own=it is call.key) for it in call.telegram.logins(call.me.id)],
    )


@method(functions.account.SetAuthorizationTTLRequest, bots=False)
def set_authorization_ttl(call: Call, request: Any) -> Any:
    """Say after how many days without use the account's logins end."""
    if not 1 <= request.authorization_ttl_days <= _MOST_DAYS:
        raise RpcError(400, "TTL_DAYS_INVALID")
    call.me.login_days = request.authorization_ttl_days
    return views.TRUE


def _authorization(key: Login, *, is_own: bool) -> Any:
    made, used = (datetime.fromtimestamp(at, UTC) for at in (key.made_at, key.used_at))
    return types.Authorization(
        hash=0 if is_own else key.key_id >> 1,
        device_model="device",
        platform="",
        system_version="",
        api_id=1,
        app_name="afx",
        app_version="1",
        date_created=made,
        date_active=used,
        ip="127.0.0.1",
        country="",
        region="",
        current=is_own,
    )
