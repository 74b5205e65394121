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
_REFUSALS = (400, 403, 404, 406)
_BANNED = frozenset({"USER_DEACTIVATED", "USER_DEACTIVATED_BAN"})
_LIMITED = "PEER_FLOOD"
_FROZEN = "FROZEN_METHOD_INVALID"
_CLOSED = frozenset(
    {
        "CHANNEL_INVALID",
        "CHANNEL_PRIVATE",
        "CHAT_ADMIN_REQUIRED",
        "CHAT_FORBIDDEN",
        "CHAT_GUEST_SEND_FORBIDDEN",
        "CHAT_ID_INVALID",
        "CHAT_RESTRICTED",
        "CHAT_WRITE_FORBIDDEN",
        "INPUT_USER_DEACTIVATED",
        "PEER_ID_INVALID",
        "USER_BANNED_IN_CHANNEL",
        "USER_IS_BLOCKED",
        "YOU_BLOCKED_USER",
    }
)
"""Of a send: its next message would be refused as well (method/messages.sendMessage)."""
_PASSING = frozenset({"CONNECTION_NOT_INITED", "CONNECTION_LAYER_INVALID"})
"""About the connection, not about the request, though their code is 400."""


def logged(error: BaseException) -> str:
    """Return an error as it may be logged: without the content of messages.

    Telethon puts what it could not read into the text of some of its errors.
    """
    if isinstance(error, errors.TypeNotFoundError):
        return f"{type(error).__name__}: constructor {error.invalid_constructor_id:#x}"
    return repr(error)


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


def is_banned(name: str) -> bool:
    """Return whether Telegram has banned or deleted the account (api/errors, 401)."""
    return name in _BANNED


def is_limited(name: str) -> bool:
    """Return whether Telegram takes the account's sends for spam (api/errors, PEER_FLOOD)."""
    return name == _LIMITED


def is_frozen(name: str) -> bool:
    """Return whether the account is frozen: it may read, and do nothing that others see.

    Source: core.telegram.org/api/auth, "Frozen accounts".
    """
    return name == _FROZEN


def closes_chat(name: str) -> bool:
    """Return whether a send's error says that its chats take, or give, no message for now."""
    return name in _CLOSED or bool(advice_on(name))


def advice_on(name: str) -> str:
    """Return what to do about a chat that takes messages of some accounts only; or "".

    Source: core.telegram.org/api/paid-messages and /api/privacy.
    """
    if name.startswith("ALLOW_PAYMENT_REQUIRED"):
        return "it takes messages for Stars, which afx never pays; ask its owner to let you write"
    if name == "PRIVACY_PREMIUM_REQUIRED":
        return "only contacts and premium accounts may write to it"
    return ""


def is_passing(name: str) -> bool:
    """Return whether an error of code 400 says nothing about the request itself."""
    return name in _PASSING


def is_for_people(error: errors.RPCError) -> bool:
    """Return whether a method was refused because the account is a bot."""
    return error_name(error) == "BOT_METHOD_INVALID"


def is_stale_reference(name: str) -> bool:
    """Return whether a message's file must be named anew (api/file-references)."""
    return name.startswith("FILE_REFERENCE_")


def refuses_chat(error: errors.RPCError) -> bool:
    """Return whether a request about one chat was refused because of that chat.

    A flood wait, an error of the server and a lost login say nothing about it.
    """
    return (
        error.code in _REFUSALS and not is_lost_login(error) and not is_passing(error_name(error))
    )


def is_about_request(error: errors.RPCError) -> bool:
    """Return whether an error says something about the request, and not about the moment.

    Those of the server (5xx, and negative codes such as -503 of a timeout), flood waits and
    lost logins pass, whatever was asked for. Source: core.telegram.org/api/errors.
    """
    is_of_client = 400 <= (error.code or 0) < 500 and not isinstance(error, errors.FloodError)
    return is_of_client and not is_lost_login(error) and not is_passing(error_name(error))
