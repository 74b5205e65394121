"""A hosted session under the sandbox's mischief: nothing lost, doubled or out of order."""

from __future__ import annotations

import asyncio

import pytest
from support.sandbox import SandboxHarness, run_scenario
from support.sessions import one_rule, say, texts

from afx.node import connection
from afx.sandbox.mischief import Mischief
from afx.telegram import client

MESSAGES = 60


@pytest.mark.parametrize("mode", ["copy", "forward"])
@pytest.mark.parametrize(
    "mischief",
    [
        Mischief(seed=1, omitted=0.2),
        Mischief(seed=2, doubled=0.4),
        Mischief(seed=3, late=0.4),
        Mischief(seed=4, too_long=0.2),
        Mischief(seed=5, short=0.3, combined=0.3, empty=0.3),
        Mischief(seed=6, omitted=0.2, lagging=0.5),
        Mischief(seed=7, shuffled=1.0),
        Mischief(seed=8, lost_answers=0.05),
        Mischief(seed=9, failed_answers=0.05),
        Mischief(seed=10, lost_sessions=0.05),
    ],
    ids=[
        "omitted",
        "doubled",
        "late",
        "too long",
        "other forms",
        "lagging",
        "shuffled",
        "lost answers",
        "failed answers",
        "lost sessions",
    ],
)
def test_each_message_is_copied_once_and_in_order(
    mischief: Mischief, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "REQUEST_SECONDS", 0.3)
    monkeypatch.setattr(connection, "_CONNECT_SECONDS", 0.3)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, mode))
        await session.start()
        sandbox.server.faults.cause(mischief)
        wanted = [f"message {number}" for number in range(MESSAGES)]
        for number, text in enumerate(wanted):
            say(sandbox, source, text)
            if number % 6 == 0:
                await asyncio.sleep(0.005)
        while len(texts(to)) < MESSAGES:
            await asyncio.sleep(0.1)
            session.poll()
        assert texts(to) == wanted
        assert not harness.lost
        await session.stop()

    run_scenario(scenario)
