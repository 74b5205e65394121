"""When lanes suspend, wait and park; and what they do once another node has the session."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis as redis_module
from support.hosts import SESSION, HostBench, host_on
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, one_rule, say, texts
from telethon.tl import functions

from afx.cluster import keys
from afx.node import lane
from afx.node.intents import Intents
from afx.telegram.sender import Outcome

GET = functions.channels.GetMessagesRequest


def test_a_long_outbox_of_a_removed_rule_does_not_hold_up_the_loop() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        cursors = {
            f"outbox:{to.marked}:{it}": f"9:c:{source.marked}:{it * 256 + 1}-{it * 256 + 256}"
            for it in range(100)
        }
        session = harness.session(account, (source, to, "copy"), cursors=cursors)
        await session.start()
        turns = 0
        lengths = set()
        while session.forwarder.outboxes.has(to.marked):
            await asyncio.sleep(0)
            turns += 1
            lengths.add(len(session.forwarder.outboxes.of(to.marked)._chunks))
        assert len(lengths) > 50, "others had their turn between its rounds"
        assert turns < 10_000
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize("kind", ["FLOOD_WAIT", "FLOOD_PREMIUM_WAIT", "SLOWMODE_WAIT"])
def test_each_kind_of_wait_is_obeyed_and_costs_one_request(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        sandbox.server.faults.add_flood(account.id, to.marked, 2, kind)
        asked = RefusingHandler(monkeypatch, functions.messages.SendMessageRequest)
        say(sandbox, source, "one")
        await until(lambda: session.wait_left(to.marked) > 0)
        assert f"wait:{to.marked}" in harness.commit(session)
        await until(lambda: texts(to) == ["one"])
        assert len(asked.requests) == 2, "nothing was asked before the wait was over"
        assert not session.rule_troubles
        await session.stop()

    run_scenario(scenario)


def test_a_wait_of_reading_an_outbox_is_the_methods_and_is_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = RefusingHandler(monkeypatch, GET, (420, "FLOOD_WAIT_600"))

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        other = sandbox.channel(posters=(account,))
        say(sandbox, source, "one")
        cursors = {
            f"outbox:{it.marked}:0": f"{rule}:c:{source.marked}:1"
            for rule, it in enumerate((to, other), 1)
        }
        rules = (source, to, "copy"), (source, other, "copy")
        session = harness.session(account, *rules, cursors=cursors)
        await session.start()
        await until(lambda: session.wait_left("channels.GetMessages") > 500)
        await until(lambda: len(session.forwarder.lanes) == 2)
        stored = harness.commit(session)
        assert "wait:channels.GetMessages" in stored
        await session.stop()
        again = harness.session(account, *rules, cursors=stored)
        await again.start()
        await until(lambda: all(it._timer for it in again.forwarder.lanes.values()))
        assert len(asked.requests) <= 2, "neither lane, nor the next run, asks before its time"
        await again.stop()

    run_scenario(scenario)


@pytest.mark.parametrize(
    "refusals", [[(420, "FLOOD_WAIT_1")], [(400, "CHANNEL_PRIVATE")], [(500, "X")]]
)
def test_an_expired_file_that_cannot_be_renewed_for_a_moment_arrives(
    monkeypatch: pytest.MonkeyPatch, refusals: list[tuple[int, str]]
) -> None:
    monkeypatch.setattr(lane, "_BACKOFF_MAX", 0.02)
    forward = functions.messages.ForwardMessagesRequest
    RefusingHandler(monkeypatch, forward, (400, "FILE_REFERENCE_EXPIRED"))
    RefusingHandler(monkeypatch, GET, *refusals)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "forward"))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        flooded = refusals[0][0] == 420
        assert ("wait:channels.GetMessages" in session.collect_uncommitted().cursor) == flooded
        await session.stop()

    run_scenario(scenario)


def test_an_expired_file_whose_source_stays_closed_does_not_block_its_lane(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lane, "_BACKOFF_MAX", 0.02)
    forward = functions.messages.ForwardMessagesRequest
    RefusingHandler(monkeypatch, forward, *[(400, "FILE_REFERENCE_EXPIRED")] * 20)
    RefusingHandler(monkeypatch, GET, *[(400, "CHANNEL_PRIVATE")] * 20)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        other = sandbox.channel(account)
        session = harness.session(account, (source, to, "forward"), (other, to, "copy"))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: harness.troubles)
        say(sandbox, other, "two")
        await until(lambda: texts(to) == ["two"])
        harness.commit(session)
        assert [it.messages for it in harness.dead] == [(1,)]
        await session.stop()

    run_scenario(scenario)


def test_a_short_wait_of_a_lane_that_was_busy_for_long_parks_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lane, "_PARK_SECONDS", 0.4)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        its_lane = session.forwarder._lane(to.marked)
        its_lane.pause()
        say(sandbox, source, "one", "two", "three")
        await until(lambda: len(its_lane) == 3)
        await asyncio.sleep(0.4)
        its_lane._sender.settle(Outcome("sent", 1))
        its_lane.wait(0.1)
        assert not session.forwarder.outboxes.has(to.marked)
        its_lane.wait(0.6)
        assert session.forwarder.outboxes.has(to.marked)
        await session.stop()

    run_scenario(scenario)


# --- another node has the session --------------------------------------------------------


def test_no_batch_is_sent_whose_intent_another_node_refuses() -> None:
    commits: list[dict[int, str]] = []

    async def fenced() -> bool:
        commits.append(intents.take())
        return False

    intents = Intents(3, fenced)
    intents.guarded = frozenset({5})

    async def scenario() -> None:
        assert await intents.store(6)
        assert not await intents.store(5)
        assert not await intents.store(5), "nor is it later"

    asyncio.run(scenario())
    assert commits == [{5: "3.1"}, {5: "3.1"}]


def test_a_lane_to_a_guarded_channel_sends_nothing_after_the_fence(
    redis_url: str, redis: redis_module.Redis, home: Any
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        async with host_on(redis_url, home) as host:
            bench = HostBench(sandbox, host, redis)
            source, to = bench.add_rule()
            await bench.start(5)
            await until(lambda: ("running", 5) in bench.reported())
            session = host._residents.session(SESSION)
            assert session is not None
            session.forwarder.note_guarded(frozenset({to.marked}))
            # Nobody has told this node yet: it learns of it by the commit of the intent.
            bench.assign(6, "another")
            say(sandbox, source, "one")
            await until(lambda: ("stopped", 5) in bench.reported())
            assert texts(to) == []
            assert not redis.exists(keys.intents(to.marked))

    run_scenario(scenario)
