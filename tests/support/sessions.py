"""Hosted sessions against a sandbox in the test's own loop."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest
from support.sandbox import SandboxHarness

from afx.clock import SYSTEM_CLOCK
from afx.cluster.specs import RuleSpec, SessionSpec
from afx.node.session import Environment, HostedSession, Totals
from afx.sandbox.errors import RpcError
from afx.sandbox.judge.flow import post
from afx.sandbox.telegram.methods.call import HANDLERS
from afx.sandbox.telegram.peers import Account, Channel
from afx.telegram.session import StoredSession
from afx.telegram.transport import guarded_connection


class SessionHarness:
    """Makes hosted sessions, and records what they report."""

    def __init__(self, sandbox: SandboxHarness) -> None:
        self.sandbox = sandbox
        self.may_write = True
        self.lost: list[BaseException] = []
        self.troubles: list[str] = []
        self.progress: dict[str, str] = {}

    def session(
        self,
        account: Account,
        *rules: tuple[Any, Any, str],
        cursors: Mapping[str, str] | None = None,
    ) -> HostedSession:
        spec = SessionSpec(
            1,
            "one",
            "free",
            "",
            tuple(
                RuleSpec(number, (_chat_name(a),), (_chat_name(b),), mode)
                for number, (a, b, mode) in enumerate(rules, 1)
            ),
        )
        environment = Environment(
            api_id=1,
            api_hash="sandbox",
            connection=guarded_connection(lambda: self.may_write, lambda _host, _port: True, 2.0),
            may_write=lambda: self.may_write,
            dirty=lambda _: None,
            gave_up=lambda _, error: self.lost.append(error),
            trouble=lambda _, _reason, text: self.troubles.append(text),
            clock=SYSTEM_CLOCK,
            rng=random.Random(1),
            totals=Totals(),
        )
        stored = StoredSession(self.sandbox.login(account), cursors or {}, {})
        return HostedSession(spec, 1, stored, environment)

    def commit(self, session: HostedSession) -> dict[str, str]:
        """Return the cursors as a host would have stored them."""
        cursor = session.collect_uncommitted().cursor
        self.progress.update(zip(cursor[::2], cursor[1::2], strict=True))
        return dict(self.progress)


def _chat_name(chat: Channel | str) -> str:
    return chat if isinstance(chat, str) else str(chat.marked)


class RefusingHandler:
    """Records one method's requests, and answers the first ones with errors."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, request: type, *refusals: tuple[int, str]
    ) -> None:
        self.requests: list[Any] = []
        self._refusals = list(refusals)
        self._answer = HANDLERS[request]
        monkeypatch.setitem(HANDLERS, request, self._handle)

    def _handle(self, call: Any, request: Any) -> Any:
        self.requests.append(request)
        if self._refusals:
            raise RpcError(*self._refusals.pop(0))
        return self._answer(call, request)


def texts(channel: Channel) -> list[str]:
    return [it.text for it in channel.box.messages.values()]


def one_rule(sandbox: SandboxHarness) -> tuple[SessionHarness, Account, Channel, Channel]:
    account = sandbox.server.world.add_account()
    return (
        SessionHarness(sandbox),
        account,
        sandbox.channel(account),
        sandbox.channel(posters=(account,)),
    )


def say(sandbox: SandboxHarness, channel: Channel, *said: str) -> None:
    for text in said:
        post(sandbox.server, channel.marked, 0, text)
