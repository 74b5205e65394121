"""Old messages of a rule where nodes die, Redis loses its data and Telegram asks to wait."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from support.following import settled
from support.replays import ReplayRun
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import one_rule, say, texts

from afx.node import backfill_reader, backfilling
from afx.node.backfill_state import Range
from afx.node.message_source import ToldToWaitError
from afx.node.session import HostedSession
from afx.sandbox.judge import flow
from afx.sandbox.telegram.peers import Channel
from afx.tasks.kinds import rule_replay

ALL = rule_replay.ReplayArguments(rule=1, first=1, last=2**31 - 1)
RULE = {"sync": ("edits", "deletes")}


def gated(session: HostedSession) -> asyncio.Event:
    """Let no page of old messages be read until the event is set."""
    gate = asyncio.Event()
    page = session.forwarder._source.page

    async def later(*arguments: Any) -> Any:
        await gate.wait()
        return await page(*arguments)

    session.forwarder.backfiller._source = SimpleNamespace(page=later)  # type: ignore[assignment]
    return gate


async def ordered(session: HostedSession, source: Channel, to: Channel, last: int) -> None:
    """Let the session send what is old, up to a message."""
    wanted = [Range(source.marked, 1, 0, last)]
    await backfilling.backfill(session, backfilling.Order(1, 1, [to.marked], wanted))


async def killed(session: HostedSession) -> None:
    await session.forwarder.backfiller.stop()
    await session.forwarder.lanes.cancel()
    await session.connection.close()
    await session.stop()


def test_changes_of_what_was_put_before_a_death_are_made_in_its_copy() -> None:
    """It waits behind the old messages, too: what is settled as known there is not changed."""

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        rule = (source, to, "copy", RULE)
        session = harness.session(account, rule)
        await session.start()
        gate = gated(session)
        await ordered(session, source, to, 200)
        new = [f"new {it}" for it in range(1, 41)]
        say(sandbox, source, *new)
        await until(lambda: len(list(session.forwarder.later.waiting())) == 40)
        sandbox.server.faults.add_flood(account.id, to.marked, 0.5)
        gate.set()
        await until(lambda: session.forwarder.outboxes.of(to.marked).count == 40)
        harness.commit(session)
        await killed(session)

        session = harness.session(account, rule, cursors=harness.progress)
        gate = gated(session)
        await session.start()
        await until(lambda: len(texts(to)) == 40)
        await until(lambda: not session.forwarder.outboxes.has(to.marked))
        flow.edit(sandbox.server, source.marked, 0, 10, "edited")
        flow.delete(sandbox.server, source.marked, 0, [20])
        await settled(session, source)
        gate.set()
        new[9] = "edited"
        del new[19]
        await until(lambda: texts(to) == new)
        await session.stop()

    run_scenario(scenario)


def test_a_redis_that_has_lost_its_links_makes_no_second_copy() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        rule = (source, to, "copy")
        session = harness.session(account, rule)
        await session.start()
        say(sandbox, source, "one", "two")
        await until(lambda: session.sent == 2)
        harness.commit(session)
        session.note_committed()
        await session.stop()
        account.sent.clear()  # Telegram has forgotten the random ids
        stored, harness.links._blocks = dict(harness.links._blocks), {}
        harness.links.is_complete = False

        session = harness.session(account, rule, cursors=harness.progress)
        await session.start()
        await ordered(session, source, to, 2)
        await until(lambda: session.forwarder.outboxes.of(to.marked).reading == 2)
        for _ in range(100):
            await asyncio.sleep(0)
        assert texts(to) == ["one", "two"]
        harness.links._blocks = stored
        harness.links.is_complete = True
        await until(lambda: not session.forwarder.outboxes.has(to.marked))
        assert texts(to) == ["one", "two"]
        await session.stop()

    run_scenario(scenario)


def test_a_long_wait_for_reading_does_not_hold_back_for_a_task_that_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backfill_reader, "_BACKOFF_MAX", 0.01)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        asked: list[Any] = []

        async def page(*arguments: Any) -> Any:
            asked.append(arguments)
            raise ToldToWaitError(86_400)

        session.forwarder.backfiller._source = SimpleNamespace(page=page)  # type: ignore[assignment]
        await ordered(session, source, to, 5)
        say(sandbox, source, "new")
        await until(lambda: asked and list(session.forwarder.later.waiting()))
        monkeypatch.setattr(backfill_reader, "LEASE_SECONDS", -1.0)
        await until(lambda: texts(to) == ["new"])
        assert not session.forwarder.later.backfills
        await session.stop()

    run_scenario(scenario)


def test_a_rule_that_is_gone_while_its_page_is_read_passes_no_message() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        say(sandbox, source, "one", "two")
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        gate = gated(session)
        task = asyncio.create_task(rule_replay.run(ReplayRun(session), ALL))  # type: ignore[arg-type]
        await until(lambda: bool(session.forwarder.later.backfills))
        [it] = session.forwarder.later.backfills
        routes = session.forwarder._all_routes
        session.forwarder.renew_routes({}, {1: None})  # not usable for now
        gate.set()
        for _ in range(100):
            await asyncio.sleep(0)
        assert it.ranges[0].beyond == 0
        session.forwarder.renew_routes(routes, {})
        assert (await task).copied == 2
        assert texts(to) == ["one", "two"]
        await session.stop()

    run_scenario(scenario)
