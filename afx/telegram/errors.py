"""Telegram's errors by name: what they mean to a session.

Telethon maps an error that it does not list to a class by its code alone, and every
406 so becomes an ``AuthKeyError``: errors are judged by name, not by class.
Source: core.telegram.org/api/errors.
"""

from __future__ import annotations

from telethon import errors
from telethon.errors.rpcerrorlist import rpc_errors_dict

_NAMES: dict[type, str] = {cls: name for name, cls in rpc_errors_dict.items()}
_UNAUTHORIZED = 401
_LOST_LOGIN = frozenset({"AUTH_KEY_DUPLICATED"})


def error_name(error: BaseException) -> str:
    """Return Telegram's name of an error, for example ``CHAT_WRITE_FORBIDDEN``.

    For other errors, and for names that carry a number, the name of the class.
    """
    if not isinstance(error, errors.RPCError):
        return type(error).__name__.removesuffix("Error")
    if name := _NAMES.get(type(error)):
        return name
    if type(error).__module__.endswith("rpcerrorlist"):
        return type(error).__name__.removesuffix("Error")
    return str(error.message)


def is_lost_login(error: BaseException) -> bool:
    """Return whether Telegram no longer accepts a session's login.

    Every 401 says so. Of the 406 only AUTH_KEY_DUPLICATED does; others refuse one
    request, for example TOPIC_CLOSED or PRIVACY_PREMIUM_REQUIRED.
    """
    if isinstance(error, errors.AuthKeyNotFound):
        return True
    if not isinstance(error, errors.RPCError):
        return False
    return error.code == _UNAUTHORIZED or error_name(error) in _LOST_LOGIN
