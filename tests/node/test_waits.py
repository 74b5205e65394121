"""Waits that Telegram asks for are kept over restarts, and not met once per destination."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, one_rule, say, texts
from telethon.tl import functions, types

from afx.cluster.task_jobs import TaskJob
from afx.node.session import HostedSession
from afx.node.waits import ALL, Waits
from afx.tasks.kinds import KINDS
from afx.tasks.kinds.base import SnoozeError
from afx.tasks.run import Run
from afx.telegram.budgets import budget_of

SEND = functions.messages.SendMessageRequest


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def waits() -> tuple[Waits, Clock]:
    clock = Clock()
    return Waits(clock), clock


def test_a_wait_is_stored_as_a_moment_and_ends_then() -> None:
    first, clock = waits()
    assert not first.note(-5, 60, "FLOOD_WAIT")
    fields = first.fields()
    assert fields == ["wait:-5", "1060"]
    again = Waits(clock)
    again.load(dict(zip(fields[::2], fields[1::2], strict=True)))
    clock.now += 50
    assert (again.left(-5), again.left(-6)) == (10, 0)
    clock.now += 11
    assert (again.left(-5), again.fields()) == (0, ["wait:-5", ""])
    assert again.fields() == []


@pytest.mark.parametrize("text", ["", "x", "-5", "1e3", "99999999999", "1000", "²"])
def test_a_stored_wait_that_is_malformed_over_or_too_long_is_none(text: str) -> None:
    it, _ = waits()
    it.load({"wait:-5": text, "wait:x": "1060", "wait:a.b.c": "1060", "channel:5": "1060"})
    assert it.left(-5) == 0


def test_two_destinations_that_are_to_wait_for_the_same_moment_stand_for_the_account() -> None:
    it, clock = waits()
    assert not it.note(-5, 60, "FLOOD_WAIT")
    clock.now += 10
    assert not it.note(-6, 30, "FLOOD_WAIT")
    assert it.note(-7, 50, "FLOOD_WAIT")
    assert it.left(-8) == 50


def test_slow_mode_and_short_waits_are_of_one_destination() -> None:
    it, _ = waits()
    for chat in (-5, -6):
        assert not it.note(chat, 60, "SlowModeWait")
        assert not it.note(chat, 1, "FLOOD_WAIT")
    assert it.left(-7) == 0


def test_a_wait_of_the_account_is_one_of_every_destination() -> None:
    it, clock = waits()
    assert it.note(ALL, 300, "PEER_FLOOD")
    assert it.left(-5) == 300
    again = Waits(clock)
    again.load({"wait:0": "1300"})
    assert again.left(-5) == 300


def test_a_wait_of_a_method_is_none_of_its_sends() -> None:
    it, clock = waits()
    assert not it.note("channels.JoinChannel", 60, "FLOOD_WAIT")
    assert not it.note("messages.GetHistory", 60, "FLOOD_WAIT")
    assert (it.left("channels.JoinChannel"), it.left(-5), it.left(ALL)) == (60, 0, 0)
    again = Waits(clock)
    again.load({"wait:channels.JoinChannel": "1060"})
    assert again.left("channels.JoinChannel") == 60


def test_all_sends_to_a_chat_have_one_budget_and_other_requests_one_of_their_method() -> None:
    chat, me = types.InputPeerChannel(5, 6), types.InputPeerSelf()
    forward = functions.messages.ForwardMessagesRequest(me, [1], chat, random_id=[1])
    assert budget_of(forward) == budget_of(SEND(chat, "x")) == -1000000000005
    assert budget_of(SEND(me, "x")) == "messages.SendMessage"
    assert budget_of(functions.channels.JoinChannelRequest(chat)) == "channels.JoinChannel"


def test_a_wait_that_a_task_meets_is_one_of_the_lanes_and_the_reverse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        other = sandbox.channel(posters=(account,))
        session = harness.session(account, (source, to, "copy"), (source, other, "copy"))
        await session.start()
        task = task_of(session)
        sandbox.server.faults.add_flood(account.id, to.marked, 600)
        handler = RefusingHandler(monkeypatch, SEND)
        with pytest.raises(SnoozeError, match="asks to wait") as met:
            await task.call(SEND(session.peers.input_peer(to.marked), "a task's", random_id=1))
        assert met.value.seconds >= 599
        assert f"wait:{to.marked}" in harness.commit(session)
        say(sandbox, source, "one")
        await until(lambda: texts(other) == ["one"])
        await until(lambda: session.forwarder.outboxes.has(to.marked))
        assert len(handler.requests) == 2  # the task's, and that to the other chat

        sandbox.server.faults.add_flood(account.id, other.marked, 5, "SLOWMODE_WAIT")
        say(sandbox, source, "two")
        await until(lambda: session.wait_left(other.marked) > 0)
        asked = len(handler.requests)
        with pytest.raises(SnoozeError, match="are left"):
            await task.call(SEND(session.peers.input_peer(other.marked), "more", random_id=2))
        assert len(handler.requests) == asked
        tally = harness.totals.rules.take()[2]
        assert (tally.forwarded, tally.waits) == (1, 1) and 4_000 <= tally.waited_ms <= 5_000
        await session.stop()

    run_scenario(scenario)


def test_a_wait_of_a_method_costs_tasks_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        join = functions.channels.JoinChannelRequest
        handler = RefusingHandler(monkeypatch, join, (420, "FLOOD_WAIT_600"))
        request = join(types.InputChannel(1, 1))
        for _ in range(2):
            with pytest.raises(SnoozeError):
                await task_of(session).call(request)
        assert len(handler.requests) == 1
        again = harness.session(account, (source, to, "copy"), cursors=harness.commit(session))
        assert again.wait_left("channels.JoinChannel") > 500
        await session.stop()

    run_scenario(scenario)


def test_a_join_beyond_the_budget_is_not_asked_for() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        join = functions.channels.JoinChannelRequest(types.InputChannel(1, 1))
        session.note_request("channels.JoinChannel")
        with pytest.raises(SnoozeError, match="budget"):
            await task_of(session).call(join)
        assert "budget:joins" in harness.commit(session)
        await session.stop()

    run_scenario(scenario)


def task_of(session: HostedSession) -> Run:
    """Return a task that runs as a session."""
    run = Run(
        TaskJob(1, 1, 1, 1, 60, "{}", ""),
        "task-1-1",
        KINDS["session.check"],
        queue="default",
        priority=2,
        node="w1",
        exports=Path(),
        progressed=lambda *_: None,
        logged=lambda *_: None,
    )
    run.use(session)
    return run


def test_a_restart_does_not_shorten_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        sandbox.server.faults.add_flood(account.id, to.marked, 600)
        handler = RefusingHandler(monkeypatch, SEND)
        say(sandbox, source, "one")
        await until(lambda: f"wait:{to.marked}" in harness.commit(session))
        await session.stop()
        asked = len(handler.requests)
        again = harness.session(account, (source, to, "copy"), cursors=harness.progress)
        await again.start()
        say(sandbox, source, "two")
        outbox = f"outbox:{to.marked}:0"
        await until(lambda: harness.commit(again).get(outbox) == f"1:c:{source.marked}:1-2")
        assert (len(handler.requests), texts(to)) == (asked, [])
        await again.stop()

    run_scenario(scenario)


def test_a_wait_of_the_account_is_not_met_once_per_destination(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, *_ = one_rule(sandbox)
        sources = [sandbox.channel(account) for _ in range(6)]
        targets = [sandbox.channel(posters=(account,)) for _ in range(6)]
        pairs = zip(sources, targets, strict=True)
        session = harness.session(account, *((one, to, "copy") for one, to in pairs))
        await session.start()
        refusals = [(420, "FLOOD_WAIT_600")] * 10
        handler = RefusingHandler(monkeypatch, SEND, *refusals)
        for number, each in enumerate(sources):
            say(sandbox, each, "one")
            await until(lambda count=number + 1: len(session.forwarder.lanes) == count)
            await asyncio.sleep(0.05)
        assert len(handler.requests) == 2
        assert len([it for it in harness.troubles if "takes no sends" in it]) == 1
        await session.stop()

    run_scenario(scenario)


def test_two_destinations_do_not_lengthen_the_wait_of_their_account_for_ever() -> None:
    """Telegram makes a wait longer with each send that comes too early, wherever to."""
    now, ends, penalty = [100.0], [110.0], 5.0
    waits = Waits(lambda: now[0])
    refused: set[int] = set()
    sent: list[int] = []

    def send(chat: int) -> None:
        if now[0] >= ends[0]:
            sent.append(chat)
            return
        if refused:
            ends[0] += penalty
        refused.add(chat)
        waits.note(chat, ends[0] - now[0], "FLOOD_WAIT_10")

    send(5)
    send(6)
    while len(sent) < 2 and now[0] < 1_000:
        now[0] += 0.5
        for chat in (5, 6):
            if chat not in sent and not waits.left(chat):
                send(chat)
    assert sorted(sent) == [5, 6]
    assert now[0] < 130
