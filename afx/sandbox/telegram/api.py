"""Answers the requests of Telegram's API: finds the method, checks the login."""

from __future__ import annotations

import logging
from typing import Any

from afx.sandbox.errors import RpcError

# Each of these files registers its methods in HANDLERS.
from afx.sandbox.telegram.methods import (  # noqa: F401
    auth,
    chats,
    config,
    messages,
    sending,
    status,
    updates,
)
from afx.sandbox.telegram.methods.call import HANDLERS, WITHOUT_LOGIN, Call, Login, Telegram
from afx.sandbox.telegram.pushes import Client

_log = logging.getLogger(__name__)


class Api:
    """Runs one method for each request, and counts the requests."""

    def __init__(self, telegram: Telegram) -> None:
        self._telegram = telegram
        self.requests = 0

    def call(self, client: Client, key: Login, request: Any) -> bytes:
        """Answer one request of a client; raises RpcError to refuse it."""
        self.requests += 1
        handler = HANDLERS.get(type(request))
        if handler is None:
            raise RpcError(400, "INPUT_METHOD_INVALID")
        account = self._telegram.world.accounts.get(key.account_id)
        if account is None and type(request) not in WITHOUT_LOGIN:
            raise RpcError(401, "AUTH_KEY_UNREGISTERED")
        try:
            return bytes(handler(Call(self._telegram, client, key, account), request))
        except RpcError:
            raise
        except Exception as error:  # a defect of a method must not look like a dead network
            _log.exception("method %s failed", type(request).__name__)
            raise RpcError(500, "INTERNAL_SERVER_ERROR") from error
