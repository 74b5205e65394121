"""Chats that rules name by invite links: joined where a rule lets the account, and not else."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, SessionHarness, one_rule, say, texts
from telethon.tl import functions

from afx.clock import SYSTEM_CLOCK
from afx.node.closed_routes import RETRY_SECONDS
from afx.node.session import HostedSession
from afx.reasons import TroubleReason
from afx.sandbox.telegram.peers import Channel
from afx.telegram.invites import LATER, NOT_JOINED, REQUESTED

JOIN = functions.messages.ImportChatInviteRequest
MAY_JOIN = {"options": {"join": True}}


@dataclass
class Later:
    """Clocks that a test can put forward."""

    harness: SessionHarness
    offset: float = 0.0

    def __post_init__(self) -> None:
        self.harness.clock = replace(
            SYSTEM_CLOCK,
            monotonic=lambda: time.monotonic() + self.offset,
            time=lambda: time.time() + self.offset,
        )

    def try_again(self, session: HostedSession) -> None:
        self.offset += RETRY_SECONDS * 1.3
        session.poll()


def secret(sandbox: SandboxHarness, *, asks: bool = False) -> tuple[Channel, str]:
    """Return a channel that nobody has joined, and its link as rules have it."""
    channel = sandbox.channel()
    return channel, f"+{sandbox.server.world.invite(channel.id, asks=asks).hash}"


def why(session: HostedSession, rule: int = 1) -> str:
    trouble = session.rule_troubles[rule]
    assert trouble.reason is TroubleReason.CHAT_UNKNOWN
    return trouble.text


@pytest.mark.parametrize("kind", ["stranger", "member"])
def test_a_link_is_joined_if_the_rule_allows_it_and_then_known_for_good(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    joins = RefusingHandler(monkeypatch, JOIN)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, _, to = one_rule(sandbox)
        source, link = secret(sandbox)
        if kind == "member":
            sandbox.server.world.join(source, account)
        rule = (link, to, "copy", {} if kind == "member" else MAY_JOIN)
        session = harness.session(account, rule)
        await session.start()
        assert not session.rule_troubles
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        stored = session._stored
        assert stored.hashes[link] == stored.fresh[link] == str(source.marked)
        await session.stop()
        assert len(joins.requests) == (kind != "member")

    run_scenario(scenario)


def test_without_leave_nothing_is_joined_and_other_rules_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    joins = RefusingHandler(monkeypatch, JOIN)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        later = Later(harness)
        hidden, link = secret(sandbox)
        session = harness.session(account, (link, to, "copy"), (source, to, "copy"))
        await session.start()
        assert why(session) == f"{link}: {NOT_JOINED}"
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        sandbox.server.world.join(hidden, account)
        later.try_again(session)
        await until(lambda: not session.rule_troubles)
        say(sandbox, hidden, "two")
        await until(lambda: texts(to) == ["one", "two"])
        await session.stop()
        assert not joins.requests

    run_scenario(scenario)


def test_leave_that_is_given_later_is_used_without_a_restart() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, _, to = one_rule(sandbox)
        hidden, link = secret(sandbox)
        session = harness.session(account, (link, to, "copy"))
        await session.start()
        assert why(session) == f"{link}: {NOT_JOINED}"
        session.renew([replace(session.spec.rules[0], options={"join": True})])
        session.poll()
        await until(lambda: not session.rule_troubles)
        assert account.id in hidden.members
        await session.stop()

    run_scenario(scenario)


def test_a_chat_whose_admin_lets_members_in_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    joins = RefusingHandler(monkeypatch, JOIN)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, _, to = one_rule(sandbox)
        later = Later(harness)
        hidden, link = secret(sandbox, asks=True)
        session = harness.session(account, (link, to, "copy", MAY_JOIN))
        await session.start()
        checks = RefusingHandler(monkeypatch, functions.messages.CheckChatInviteRequest)
        assert why(session) == f"{link}: {REQUESTED}"
        later.try_again(session)
        await until(lambda: checks.requests and session._rules._task.done())
        assert why(session) == f"{link}: {REQUESTED}"
        sandbox.server.world.join(hidden, account)
        later.try_again(session)
        later.try_again(session)
        await until(lambda: not session.rule_troubles)
        await session.stop()
        assert len(joins.requests) == 1

    run_scenario(scenario)


def test_joins_are_spread_and_those_that_wait_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    joins = RefusingHandler(monkeypatch, JOIN)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, _, to = one_rule(sandbox)
        later = Later(harness)
        links = [secret(sandbox)[1] for _ in range(2)]
        session = harness.session(account, *((it, to, "copy", MAY_JOIN) for it in links))
        await session.start()
        assert set(session.rule_troubles) == {2}
        assert why(session, 2) == f"{links[1]}: {LATER}"
        assert len(joins.requests) == 1
        later.try_again(session)
        await until(lambda: not session.rule_troubles)
        assert len(joins.requests) == 2
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize(
    ("code", "name", "waits"),
    [
        (400, "CHANNELS_TOO_MUCH", False),
        (400, "INVITE_HASH_EXPIRED", False),
        (420, "FLOOD_WAIT_9000", True),
        (400, "PEER_FLOOD", False),
    ],
)
def test_a_refused_join_stops_its_rule_alone_and_says_why(
    code: int, name: str, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    RefusingHandler(monkeypatch, JOIN, (code, name))

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        _, link = secret(sandbox)
        session = harness.session(account, (link, to, "copy", MAY_JOIN), (source, to, "copy"))
        await session.start()
        assert name.removesuffix("_9000") in why(session).upper().replace("FLOODWAIT", "FLOOD_WAIT")
        assert (session.wait_left("messages.ImportChatInvite") > 8_000) is waits
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        await session.stop()

    run_scenario(scenario)


def test_a_limited_account_joins_nothing() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, _, to = one_rule(sandbox)
        hidden, link = secret(sandbox)
        cursors = {"wait:0": str(int(time.time()) + 300)}
        session = harness.session(account, (link, to, "copy", MAY_JOIN), cursors=cursors)
        await session.start()
        assert why(session) == f"{link}: {LATER}"
        assert account.id not in hidden.members
        await session.stop()

    run_scenario(scenario)
