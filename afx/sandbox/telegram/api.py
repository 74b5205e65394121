"""Answers the requests of Telegram's API: finds the method, checks the login."""

from __future__ import annotations

import logging
import time
from typing import Any, Protocol

from telethon.tl import functions

from afx.sandbox.answers import Answer, Later, NoAnswer
from afx.sandbox.errors import RpcError, TransportError
from afx.sandbox.mischief import Dice
from afx.sandbox.scripted import FaultKind, FaultScript, ScriptedFault
from afx.sandbox.telegram import views

# Each of these files registers its methods in HANDLERS.
from afx.sandbox.telegram.methods import (  # noqa: F401
    auth,
    chats,
    config,
    invites,
    logins,
    media,
    members,
    messages,
    pins,
    polls,
    sending,
    start,
    status,
    topics,
    updates,
)
from afx.sandbox.telegram.methods.call import (
    HANDLERS,
    NOT_FOR_BOTS,
    NOT_WHEN_FROZEN,
    WITHOUT_LOGIN,
    Call,
    Handler,
    Login,
    Telegram,
)
from afx.sandbox.telegram.pushes import Client

_log = logging.getLogger(__name__)
_ANYWHERE = {functions.auth.ExportAuthorizationRequest, functions.auth.LogOutRequest}


class Faults(Protocol):
    """The faults that happen to requests."""

    script: FaultScript
    dice: Dice


class Api:
    """Runs one method for each request, and counts the requests."""

    def __init__(self, telegram: Telegram, faults: Faults) -> None:
        self._telegram = telegram
        self._faults = faults
        self.requests = 0

    def call(self, client: Client, key: Login, request: Any) -> Answer:
        """Answer one request of a client; raises RpcError to refuse it."""
        self.requests += 1
        if not key.layer and self._telegram.strictness.connection_inited:
            raise RpcError(400, "CONNECTION_NOT_INITED")
        handler = HANDLERS.get(type(request))
        if handler is None:
            raise RpcError(400, "INPUT_METHOD_INVALID")
        account = self._telegram.world.accounts.get(key.account_id)
        if account is not None:
            logins.use(key, account, time.time())
        if account is None and type(request) not in WITHOUT_LOGIN:
            raise RpcError(401, "AUTH_KEY_UNREGISTERED")
        if (
            account is not None
            and account.data_centre != client.data_centre
            and _is_at_home(request)
        ):
            raise RpcError(303, f"USER_MIGRATE_{account.data_centre}")
        if account is not None and account.is_bot and type(request) in NOT_FOR_BOTS:
            raise RpcError(400, "BOT_METHOD_INVALID")
        if account is not None and account.health == "banned":
            raise RpcError(401, "USER_DEACTIVATED_BAN")
        if account is not None and account.health == "frozen" and type(request) in NOT_WHEN_FROZEN:
            raise RpcError(420, "FROZEN_METHOD_INVALID")
        call = Call(self._telegram, client, key, account)
        if self._faults.script or self._faults.dice.active:
            return self._call_with_faults(handler, call, request)
        return _run(handler, call, request)

    def _call_with_faults(self, handler: Handler, call: Call, request: Any) -> Answer:
        chat = _chat(request, call.account.id if call.account else 0)
        fault = self._faults.script.take(_name(request), chat, call.key.account_id)
        fault = fault or _by_chance(self._faults.dice, call)
        if fault is None:
            return _run(handler, call, request)
        if fault.kind is FaultKind.REFUSE:
            raise RpcError(fault.code, fault.message)
        if fault.kind is FaultKind.TRANSPORT:
            raise TransportError(fault.code)
        if fault.kind is FaultKind.SLOW:
            return _run_later(fault.seconds, handler, call, request)
        _run(handler, call, request)
        if fault.kind is FaultKind.FAIL_AFTER:
            raise RpcError(fault.code, fault.message)
        if fault.kind is FaultKind.LOSE_SESSION:
            return NoAnswer.SESSION_LOST
        return NoAnswer.LOST


def _is_at_home(request: Any) -> bool:
    """Return whether a request is answered by the account's own data centre alone.

    Source: core.telegram.org/api/datacenter: any gives files of its own, and what signs an
    account in at another one.
    """
    kind = type(request)
    return (
        kind not in _ANYWHERE
        and kind not in WITHOUT_LOGIN
        and not kind.__module__.endswith(".upload")
    )


def _by_chance(dice: Dice, call: Call) -> ScriptedFault | None:
    """Return the fault that happens to a request by chance; none before the sign-in."""
    kinds = dice.mischief
    if call.account is None:
        return None
    if dice.hits(kinds.lost_answers):
        return ScriptedFault(FaultKind.NO_ANSWER)
    if dice.hits(kinds.failed_answers):
        return ScriptedFault(FaultKind.FAIL_AFTER, 500, "INTERDC_1_CALL_ERROR")
    if dice.hits(kinds.lost_sessions):
        return ScriptedFault(FaultKind.LOSE_SESSION)
    return None


def _run(handler: Handler, call: Call, request: Any) -> bytes:
    try:
        return bytes(handler(call, request))
    except RpcError:
        raise
    except Exception as error:  # a defect of a method must not look like a dead network
        _log.exception("method %s failed", type(request).__name__)
        raise RpcError(500, "INTERNAL_SERVER_ERROR") from error


def _run_later(seconds: float, handler: Handler, call: Call, request: Any) -> Later:
    release = sending.reserve(call, request) if _makes_messages(request) else None

    def finish() -> bytes:
        if release:
            release()
        return _run(handler, call, request)

    return Later(seconds, finish)


def _makes_messages(request: Any) -> bool:
    return hasattr(request, "random_id") or hasattr(request, "multi_media")


def _name(request: Any) -> str:
    """Return the method of a request, for example ``messages.sendMessage``."""
    kind = type(request)
    area = kind.__module__.removeprefix("telethon.tl.functions").removeprefix(".")
    method = kind.__name__.removesuffix("Request")
    method = method[0].lower() + method[1:]
    return f"{area}.{method}" if area else method


def _chat(request: Any, own: int) -> int:
    """Return the marked id of the chat that a request is about, or 0."""
    for name in ("to_peer", "peer", "channel"):
        if (tl_peer := getattr(request, name, None)) is not None:
            return views.marked(tl_peer, own)
    return 0
