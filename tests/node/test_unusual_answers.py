"""Answers of Telegram that once led to losses, to loops without a pause, or to growth."""

from __future__ import annotations

import asyncio

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, one_rule, say, texts
from telethon.tl import functions

from afx.node import lane, lane_sender, made_links
from afx.sandbox.judge.flow import post


def test_a_private_source_without_a_settled_message_is_read_when_its_updates_are_gone() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, _source, to = one_rule(sandbox)
        world = sandbox.server.world
        friend = world.add_account()
        group = world.add_group("group", friend.id, [account.id])
        post(sandbox.server, group.marked, friend.id, "before the rule")
        rule = (str(group.marked), to, "copy")
        session = harness.session(account, rule)
        await session.start()
        await session.stop()
        cursors = harness.commit(session)
        wanted = [f"message {number}" for number in range(80)]
        for text in wanted:
            post(sandbox.server, group.marked, friend.id, text)
        again = harness.session(account, rule, cursors=cursors)
        await again.start()
        await until(lambda: len(texts(to)) >= len(wanted))
        assert texts(to) == wanted
        await again.stop()

    run_scenario(scenario, log_limit=20)


def test_a_send_that_waits_in_vain_for_another_one_is_repeated_with_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refusals = [(400, "MSG_WAIT_FAILED")] * 4
    handler = RefusingHandler(monkeypatch, functions.messages.SendMessageRequest, *refusals)
    pauses: list[float] = []

    def wait(self: lane.Lane, seconds: float) -> None:
        pauses.append(seconds)
        self._not_before = asyncio.get_running_loop().time() + 0.01

    monkeypatch.setattr(lane.Lane, "wait", wait)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        assert len(handler.requests) == 5
        assert pauses == [1.0, 2.0, 4.0, 8.0]
        assert "MSG_WAIT_FAILED" in harness.troubles[0]
        await session.stop()

    run_scenario(scenario)


def test_a_session_sends_no_more_than_it_can_remember_until_it_is_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(made_links, "MOST_LINKS", 20)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        wanted = [f"message {number}" for number in range(300)]
        say(sandbox, source, *wanted)
        await until(lambda: harness.troubles)
        assert "wait to be stored" in harness.troubles[0]
        while len(texts(to)) < len(wanted):
            progress = session.collect_uncommitted()
            # Redis refuses it once, and then takes it.
            session.put_back(progress)
            assert len(session.collect_uncommitted().links) <= 20 + lane_sender.BATCH
            session.note_committed()
            await asyncio.sleep(0.01)
        assert texts(to) == wanted
        await session.stop()

    run_scenario(scenario)
