"""Digests over random lives: each message comes once, whatever is edited, deleted and killed."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from support.digests import Bench
from support.following import settled
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import say, texts

from afx.node import lane
from afx.node.session import HostedSession
from afx.sandbox.judge.flow import delete, edit

STEPS = 30


class Life:
    """A session with digests, and what has happened to its messages."""

    def __init__(self, sandbox: SandboxHarness, seed: int) -> None:
        self.random = random.Random(seed)
        self.bench = Bench(sandbox)
        self.bench.harness.store = self.bench.store
        self.sandbox = sandbox
        self.posted = 0
        self.deleted: set[int] = set()
        self.options: dict[str, Any] = self.bench.more["options"]
        self.session: HostedSession

    async def begin(self) -> None:
        self.bench.more["options"] = self.options
        self.session = await self.bench.start(dict(self.bench.harness.progress))

    async def die(self) -> None:
        """End without a last commit, and nothing reaches Telegram meanwhile."""
        if self.random.random() < 0.3:
            self.bench.pass_a_day(self.session)
            await self.wander()
        self.bench.harness.may_write = False
        await self.session.stop()
        self.session.collect_uncommitted()
        self.bench.harness.may_write = True
        await self.begin()

    async def wander(self) -> None:
        """Let the session go on for a random number of the loop's turns."""
        for _ in range(self.random.randrange(60)):
            await asyncio.sleep(0)

    async def step(self) -> None:
        it = self.bench
        what = self.random.choice(
            ["say", "say", "say", "edit", "delete", "time", "commit", "die", "flood", "change"]
        )
        present = sorted(it.source.box.messages)
        if what == "say":
            for _ in range(self.random.randrange(1, 9)):
                self.posted += 1
                say(self.sandbox, it.source, self.text(self.posted))
        elif what == "edit" and present:
            number = self.random.choice(present)
            edit(self.sandbox.server, it.source.marked, 0, number, self.text(number))
        elif what == "delete" and present:
            number = self.random.choice(present)
            self.deleted.add(number)
            delete(self.sandbox.server, it.source.marked, 0, [number])
        elif what == "time":
            it.pass_a_day(self.session)
            await self.wander()
        elif what == "commit":
            await settled(self.session, it.source)
            await it.store(self.session)
        elif what == "die":
            await self.die()
        elif what == "flood":
            self.sandbox.server.faults.add_flood(it.account.id, it.to.marked, 0.01)
        elif what == "change":
            # A random id that was used without the option is not that of a digest.
            await settled(self.session, it.source)
            outboxes = self.session.forwarder.outboxes
            await until(lambda: bool(self.options) or not outboxes.has(it.to.marked))
            await it.store(self.session)
            length = self.random.choice([0, 20, 300, 1_000])
            self.options = {"digest": {"every": 86_400, "length": length}} if length else {}
            [spec] = self.session.spec.rules
            self.session.renew([replace(spec, options=self.options)])

    def text(self, number: int) -> str:
        return f"#{number}. " + "x" * self.random.choice([1, 100, 500, 900])


@pytest.mark.parametrize("seed", range(3))
def test_each_message_comes_once(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "_DRAIN_SECONDS", 0.01)

    async def scenario(sandbox: SandboxHarness) -> None:
        it = Life(sandbox, seed)
        await it.begin()
        await it.bench.store(it.session)
        for _ in range(STEPS):
            await it.step()
        await settled(it.session, it.bench.source)
        later, outboxes = it.session.forwarder.later, it.session.forwarder.outboxes
        it.bench.pass_a_day(it.session)

        def is_over() -> bool:
            if later.next_due():
                it.bench.pass_a_day(it.session)
            return not later.next_due() and not outboxes.has(it.bench.to.marked)

        await until(is_over)
        numbers = re.findall(r"#([0-9]+)\. ", "\n".join(texts(it.bench.to)))
        found = Counter(map(int, numbers))
        wanted = set(range(1, it.posted + 1)) - it.deleted
        assert set(found.values()) <= {1}, f"twice: {[n for n, c in found.items() if c > 1]}"
        assert set(found) >= wanted, f"lost: {sorted(wanted - set(found))}"
        await it.session.stop()
        left = it.bench.harness.commit(it.session)
        assert not [name for name in left if name.startswith(("outbox:", "later:"))]
        # Without the option what is deleted before it is sent is a dead letter.
        assert {one for dead in it.bench.harness.dead for one in dead.messages} <= it.deleted

    run_scenario(scenario)
