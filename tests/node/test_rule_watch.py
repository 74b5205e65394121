"""A connection that is lost while a rule's chat is being opened loses no rule."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import SessionHarness, one_rule

from afx.clock import SYSTEM_CLOCK
from afx.node.closed_routes import RETRY_SECONDS
from afx.node.session import HostedSession


class Later:
    """A clock that a test can put forward."""

    def __init__(self, harness: SessionHarness) -> None:
        self._offset = 0.0
        harness.clock = replace(SYSTEM_CLOCK, monotonic=lambda: time.monotonic() + self._offset)

    def try_again(self, session: HostedSession) -> None:
        """Let the time pass after which what is closed is tried again."""
        self._offset += RETRY_SECONDS * 10
        session.poll()


@pytest.mark.parametrize("what", ["source", "destination"])
def test_a_connection_that_is_lost_while_a_chat_is_registered_does_not_lose_its_rule(
    what: str,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        later = Later(harness)
        secret = sandbox.channel()
        rule = (secret, to, "copy") if what == "source" else (source, secret, "copy")
        session = harness.session(account, rule)
        await session.start()
        assert session.rule_troubles
        sandbox.server.world.join(secret, account)
        registering = asyncio.Event()

        async def slow(*_: object) -> None:
            registering.set()
            await asyncio.sleep(3.0)  # GuardedChats waits so long after news

        chats = session._watch._chats
        chats.register = slow  # type: ignore[method-assign]
        later.try_again(session)
        await asyncio.wait_for(registering.wait(), 5)
        session.lost(ConnectionError("cut"))
        await until(lambda: session.connection.state.value == "live")

        async def quick(*_: object) -> None:
            pass

        chats.register = quick  # type: ignore[method-assign]
        await asyncio.sleep(0.5)
        for _ in range(3):
            later.try_again(session)
            await asyncio.sleep(0.3)
        if what == "source":
            assert secret.id in session.reader.channels, (
                f"nobody reads it; troubles {session.rule_troubles}"
            )
        else:
            assert session.forwarder._intake.routes, "nothing is ever forwarded there"
        await session.stop()

    run_scenario(scenario)
