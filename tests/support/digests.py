"""A rule with digests, its chats, and a clock that can go ahead."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import Any

from support.sandbox import SandboxHarness, until
from support.sessions import one_rule, texts

from afx.node.session import HostedSession
from afx.sandbox.telegram.peers import Channel

DAILY: dict[str, Any] = {"digest": {"every": 86_400}}


def put(sandbox: SandboxHarness, source: Channel, text: str, **fields: Any) -> None:
    message, event = sandbox.server.world.post(source, 0, text, **fields)
    sandbox.server.pushes.channel_event(source, event, message)


async def sent(session: HostedSession, to: Channel) -> None:
    """Wait until nothing waits for a destination any more."""
    outboxes, later = session.forwarder.outboxes, session.forwarder.later
    await until(lambda: not later.next_due() and not outboxes.has(to.marked))


class Bench:
    """One rule with digests, its chats, and a clock that can go ahead."""

    def __init__(self, sandbox: SandboxHarness, **more: Any) -> None:
        self.sandbox = sandbox
        self.harness, self.account, self.source, self.to = one_rule(sandbox)
        self.ahead = 0.0
        clock = self.harness.clock
        self.harness.clock = replace(clock, time=lambda: clock.time() + self.ahead)
        self.more = {"options": DAILY, **more}

    async def start(self, cursors: dict[str, str] | None = None) -> HostedSession:
        rule = (self.source, self.to, "copy", self.more)
        session = self.harness.session(self.account, rule, cursors=cursors)
        await session.start()
        return session

    async def restart(self, session: HostedSession) -> HostedSession:
        await session.stop()
        return await self.start(self.harness.commit(session))

    async def store(self, session: HostedSession) -> bool:
        """Store all, as a node does before it sends what has to be stored."""
        self.harness.commit(session)
        session.note_committed()
        return True

    def pass_a_day(self, session: HostedSession) -> None:
        self.ahead += 86_500.0
        later = session.forwarder.later
        if later._is_running:  # else it looks at the clock when it starts
            later._turn()

    async def send(self, session: HostedSession) -> None:
        """Let a day pass, and wait until nothing waits any more."""
        self.pass_a_day(session)
        await sent(session, self.to)

    def digests(self) -> list[list[str]]:
        """Return the entries of each digest, without their first lines."""
        parts = [text.split("\n\n")[1:] for text in texts(self.to)]
        return [[it.partition("\n")[2] or it for it in each] for each in parts]

    def entries(self) -> list[str]:
        """Return the entries of all digests."""
        return list(chain.from_iterable(self.digests()))
