"""Waits that Telegram asks for are kept over restarts, and not met once per destination."""

from __future__ import annotations

import asyncio

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, one_rule, say, texts
from telethon.tl import functions

from afx.node.waits import ALL, Waits

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
    assert (again.left(-5), again.fields()) == (0, [])


@pytest.mark.parametrize("text", ["", "x", "-5", "1e3", "99999999999", "1000", "²"])
def test_a_stored_wait_that_is_malformed_over_or_too_long_is_none(text: str) -> None:
    it, _ = waits()
    it.load({"wait:-5": text, "wait:x": "1060", "channel:5": "1060"})
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
            await until(lambda count=number + 1: len(session.forwarder._lanes) == count)
            await asyncio.sleep(0.05)
        assert len(handler.requests) == 2
        assert len([it for it in harness.troubles if "takes no sends" in it]) == 1
        await session.stop()

    run_scenario(scenario)
