"""Hosted sessions against a sandbox in the test's own loop."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import pytest
from support.sandbox import SandboxHarness

from afx.clock import SYSTEM_CLOCK, Clock
from afx.cluster.keys import LINKS_COMPLETE
from afx.cluster.links import CopyRoute, block_key, layout
from afx.cluster.specs import RuleSpec, SessionSpec
from afx.coordinator.checkpoints import _FIELD
from afx.node.closed_routes import RuleTrouble
from afx.node.dead_letters import DeadGroup
from afx.node.environment import Environment
from afx.node.guarded_chats import GuardedChats
from afx.node.held_reports import HeldReport
from afx.node.outputs import Outputs
from afx.node.progress import Link, Totals
from afx.node.rule_counts import RuleCounts
from afx.node.sealer import Sealer
from afx.node.session import HostedSession
from afx.reasons import TroubleReason
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
        self.reasons: list[TroubleReason] = []
        self.progress: dict[str, str] = {}
        self.dead: list[DeadGroup] = []
        self.held: list[HeldReport] = []
        self.links = StoredLinks()
        self.rules: dict[int, RuleTrouble | None] = {}
        self.clock: Clock = SYSTEM_CLOCK
        self.store: Callable[[HostedSession], Awaitable[bool]] = _stored
        self.totals = Totals(RuleCounts(SYSTEM_CLOCK))
        self.outputs: Outputs | None = None
        self.sealer: Sealer | None = None
        self.login_limits: list[int] = []

    def _note(self, reason: TroubleReason, text: str) -> None:
        self.reasons.append(reason)
        self.troubles.append(text)

    def session(
        self,
        account: Account,
        *rules: tuple[Any, ...],
        cursors: Mapping[str, str] | None = None,
        login: int = 1,
    ) -> HostedSession:
        """Return a session; rules are (source, destination, mode), and fields of RuleSpec.

        A source, or a destination, may be a tuple of them; ``login`` tells the logins of one
        account apart.
        """
        spec = SessionSpec(
            1,
            "one",
            "free",
            "",
            tuple(
                RuleSpec(number, _chats(a), _chats(b), mode, **(more[0] if more else {}))
                for number, (a, b, mode, *more) in enumerate(rules, 1)
            ),
        )
        environment = Environment(
            api_id=1,
            api_hash="sandbox",
            connection=guarded_connection(lambda: self.may_write, lambda _host, _port: True, 2.0),
            may_write=lambda: self.may_write,
            links=self.links,
            chats=cast("GuardedChats", UnguardedChats()),
            store=self.store,
            dirty=lambda _: None,
            gave_up=lambda _, error: self.lost.append(error),
            trouble=lambda _, reason, text: self._note(reason, text),
            rule_changed=lambda _, rule, trouble: self.rules.update({rule: trouble}),
            login_limit=lambda _, days: self.login_limits.append(days),
            clock=self.clock,
            rng=random.Random(1),
            totals=self.totals,
            outputs=self.outputs,
            sealer=self.sealer,
        )
        stored = StoredSession(self.sandbox.login(account, login), cursors or {}, {})
        return HostedSession(spec, 1, stored, environment)

    def commit(self, session: HostedSession) -> dict[str, str]:
        """Return the cursors as a host would have stored them."""
        progress = session.collect_uncommitted()
        self.links.store(progress.links)
        self.dead += progress.dead
        self.held += progress.held
        cursor = progress.cursor
        self.progress.update(zip(cursor[::2], cursor[1::2], strict=True))
        self.progress = {it: value for it, value in self.progress.items() if value}
        # What the leader does not know is not copied to SQL, and all of the session with it.
        assert not [
            it for it, text in self.progress.items() if not _FIELD.fullmatch(f"{it}={text}")
        ]
        return dict(self.progress)


class UnguardedChats:
    """Stands in for the chats of other sessions: there are none."""

    async def register(self, *_: object) -> None:
        pass

    def forget(self, _: int) -> None:
        pass


async def _stored(_: HostedSession) -> bool:
    return True


class StoredLinks:
    """Stands in for the links in Redis."""

    def __init__(self) -> None:
        self._blocks: dict[str, bytes] = {}
        self._heads: dict[CopyRoute, int] = {}
        self.is_complete = True
        """Redis has lost none, or has got them back."""

    def store(self, links: Iterable[Link]) -> None:
        for it in links:
            made = it.delivery
            route = CopyRoute(made.rule, made.source, made.destination)
            form = layout(made.source)
            name = block_key(route, made.message)
            entry = form.forward.pack(made.message % form.size, it.copy)
            self._blocks[name] = self._blocks.get(name, b"") + entry
            self._heads[route] = max(made.message, self._heads.get(route, 0))

    async def heads(self, rules: Iterable[int]) -> dict[CopyRoute, int]:
        wanted = set(rules)
        return {route: it for route, it in self._heads.items() if route.rule in wanted}

    async def blocks(self, names: Sequence[str]) -> list[bytes | None]:
        flag = b"1" if self.is_complete else None
        return [flag if it == LINKS_COMPLETE else self._blocks.get(it) for it in names]

    async def origins(self, _: str) -> dict[int, tuple[int, int]]:
        return {}

    async def intents(self, _: int) -> dict[str, str]:
        return {}

    async def intents_of(self, _session: int, _chats: Sequence[int]) -> dict[int, str]:
        return {}


def _chats(chats: Channel | str | tuple[Channel | str, ...]) -> tuple[str, ...]:
    return tuple(map(_chat_name, chats if isinstance(chats, tuple) else (chats,)))


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
