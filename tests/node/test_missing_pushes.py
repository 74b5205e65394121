"""Pushes that never come, and nothing after them: what makes a session ask for them."""

from __future__ import annotations

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, one_rule, say, texts
from telethon.tl import functions

from afx.node import silence
from afx.sandbox.judge.flow import post
from afx.sandbox.mischief import Mischief

NO_PUSHES = Mischief(omitted=1.0)


def test_the_next_poll_brings_what_was_never_pushed_of_a_group() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, _source, to = one_rule(sandbox)
        friend = sandbox.server.world.add_account()
        group = sandbox.server.world.add_group("group", friend.id, [account.id])
        session = harness.session(account, (str(group.marked), to, "copy"))
        await session.start()
        await until(lambda: not session.reader.account.syncing)
        sandbox.server.faults.cause(NO_PUSHES)
        post(sandbox.server, group.marked, friend.id, "one")
        session.poll()
        await until(lambda: texts(to) == ["one"])
        await session.stop()

    run_scenario(scenario)


def test_a_session_that_the_server_has_forgotten_fetches_what_it_was_to_get() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        await until(lambda: session.reader.is_idle)
        sandbox.server.faults.cause(NO_PUSHES)
        say(sandbox, source, "one")
        sandbox.server.connections.forget_sessions(account.id)
        # Any request makes the server say that the MTProto session is a new one.
        await session._client(functions.help.GetConfigRequest())
        await until(lambda: texts(to) == ["one"])
        await session.stop()

    run_scenario(scenario)


def test_a_long_silence_calls_for_the_account_s_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    differences = RefusingHandler(monkeypatch, functions.updates.GetDifferenceRequest)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        await until(lambda: session.reader.is_idle)
        session.poll()
        await until(lambda: session.reader.is_idle)
        assert len(differences.requests) == 1, "a channel's rule asks the channel"
        monkeypatch.setattr(silence, "SILENCE_SECONDS", 0.0)
        session.poll()
        await until(lambda: len(differences.requests) == 2)
        await session.stop()

    run_scenario(scenario)
