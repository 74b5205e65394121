"""What a hosted session does about refusals, errors and lost connections."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, one_rule, say, texts
from telethon import errors
from telethon.tl import functions

from afx.node import lane_sender
from afx.sandbox.scripted import FaultKind, ScriptedFault
from afx.telegram import client, updates
from afx.telegram.changes import event_of
from afx.telegram.sender import send


def test_a_cut_connection_loses_and_doubles_nothing() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        wanted = [f"message {number}" for number in range(200)]
        for number, text in enumerate(wanted):
            say(sandbox, source, text)
            if number % 60 == 30:
                await asyncio.sleep(0.01)
                sandbox.server.connections.drop(account.id)
        await until(lambda: len(texts(to)) >= 200)
        assert texts(to) == wanted
        await session.stop()

    run_scenario(scenario)


def test_a_flood_wait_holds_up_only_its_own_destination() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, slow = one_rule(sandbox)
        quick = sandbox.channel(posters=(account,))
        session = harness.session(account, (source, slow, "copy"), (source, quick, "copy"))
        await session.start()
        sandbox.server.faults.add_flood(account.id, slow.marked, 2.0)
        say(sandbox, source, "one", "two", "three")
        await until(lambda: texts(quick) == ["one", "two", "three"])
        assert texts(slow) == []
        cursor = harness.commit(session)[f"channel:{source.id}"]
        assert cursor == "1", "the cursor waits for the slow destination"
        await until(lambda: texts(slow) == ["one", "two", "three"])
        await until(lambda: harness.commit(session)[f"channel:{source.id}"] == "4")
        await session.stop()

    run_scenario(scenario)


def test_a_destination_that_refuses_is_reported_and_holds_up_nothing() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        closed = sandbox.channel(account)
        session = harness.session(account, (source, closed, "copy"), (source, to, "copy"))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: harness.troubles and texts(to))
        assert "CHAT_WRITE_FORBIDDEN" in harness.troubles[0]
        await until(lambda: harness.commit(session)[f"channel:{source.id}"] == "2")
        await session.stop()

    run_scenario(scenario)


def test_a_revoked_login_ends_the_session_at_once() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        for key in sandbox.server.keys.values():
            key.revoked = True
        say(sandbox, source, "never copied")
        await until(lambda: harness.lost)
        assert isinstance(harness.lost[0], errors.AuthKeyDuplicatedError)
        await session.stop()
        assert not sandbox.server.connections

    run_scenario(scenario)


def test_without_a_lease_not_a_byte_is_written() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        before = sandbox.server.api.requests
        harness.may_write = False
        say(sandbox, source, "one", "two")
        await until(lambda: not sandbox.server.connections)
        await asyncio.sleep(0.3)
        assert sandbox.server.api.requests == before
        assert texts(to) == []
        await session.stop()

    run_scenario(scenario)


def test_a_406_about_one_message_is_reported_and_does_not_end_the_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = (406, "TOPIC_CLOSED")
    RefusingHandler(monkeypatch, functions.messages.SendMessageRequest, error)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: harness.troubles)
        say(sandbox, source, "two")
        await until(lambda: texts(to) == ["two"])
        assert error[1] in harness.troubles[0]
        assert not harness.lost
        await session.stop()

    run_scenario(scenario)


def test_an_update_that_fails_is_reported_and_fetched_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail_once(message: Any) -> Any:
        monkeypatch.setattr(updates, "event_of", event_of)
        raise TypeError("a message of a new kind")

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        monkeypatch.setattr(updates, "event_of", fail_once)
        say(sandbox, source, "one")
        await until(lambda: harness.troubles)
        say(sandbox, source, "two")
        await until(lambda: texts(to) == ["one", "two"])
        await session.stop()

    run_scenario(scenario)


def test_an_error_in_a_lane_is_reported_and_does_not_reconnect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail_once(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(lane_sender, "send", send)
        raise ValueError("no access hash is known")

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        connections = set(sandbox.server.connections)
        monkeypatch.setattr(lane_sender, "send", fail_once)
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        assert "no access hash" in harness.troubles[0]
        assert set(sandbox.server.connections) == connections
        await session.stop()

    run_scenario(scenario)


def test_a_request_without_an_answer_leads_to_a_new_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        monkeypatch.setattr(client, "REQUEST_SECONDS", 0.2)
        sandbox.server.faults.delay_seconds = 3600.0
        session.poll()
        await until(lambda: harness.troubles)
        sandbox.server.faults.delay_seconds = 0.0
        monkeypatch.setattr(client, "REQUEST_SECONDS", 30.0)
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        assert "NoAnswer" in harness.troubles[0]
        await session.stop()

    run_scenario(scenario)


def test_a_channel_whose_difference_is_refused_for_long_holds_up_neither_the_start_nor_others() -> (
    None
):
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        bad, copies = sandbox.channel(account), sandbox.channel(posters=(account,))
        rules = (bad, copies, "copy"), (source, to, "copy")
        session = harness.session(account, *rules)
        await session.start()
        await session.stop()
        say(sandbox, bad, "missed")
        say(sandbox, source, "one")
        outdated = ScriptedFault(
            FaultKind.REFUSE,
            500,
            "PERSISTENT_TIMESTAMP_OUTDATED",
            method="updates.getChannelDifference",
            chat=bad.marked,
            count=0,
        )
        sandbox.server.faults.script.add(outdated)
        again = harness.session(account, *rules, cursors=harness.commit(session))
        await again.start()
        await until(lambda: texts(to) == ["one"])
        say(sandbox, source, "two")
        await until(lambda: texts(to) == ["one", "two"])
        assert texts(copies) == []
        sandbox.server.faults.script.clear()
        await until(lambda: texts(copies) == ["missed"])
        await again.stop()

    run_scenario(scenario)


def test_a_login_that_is_refused_in_the_background_ends_the_session() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        await until(lambda: session.reader.is_idle)
        revoked = ScriptedFault(
            FaultKind.REFUSE, 401, "SESSION_REVOKED", method="updates.getChannelDifference"
        )
        sandbox.server.faults.script.add(revoked)
        session.poll()
        await until(lambda: harness.lost)
        assert isinstance(harness.lost[0], errors.SessionRevokedError)
        await session.stop()

    run_scenario(scenario)


def test_a_flood_wait_is_remembered_over_a_reconnect() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        sandbox.server.faults.add_flood(account.id, to.marked, 2.0)
        begun = asyncio.get_running_loop().time()
        say(sandbox, source, "one")
        await until(lambda: sandbox.server.api.requests and session.forwarder.lanes)
        await until(lambda: session.forwarder.lanes[to.marked]._not_before)
        waits = session.forwarder.lanes[to.marked]._not_before
        sandbox.server.connections.drop(account.id)
        await until(lambda: harness.troubles and session.reader.is_idle)
        assert session.forwarder.lanes[to.marked]._not_before == waits
        await until(lambda: texts(to) == ["one"])
        assert asyncio.get_running_loop().time() - begun >= 2.0
        await session.stop()

    run_scenario(scenario)


def test_a_suspicion_of_spam_stops_all_destinations_of_the_account() -> None:
    """PEER_FLOOD is about the account: each further send would make it worse."""

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        others = [sandbox.channel(posters=(account,)) for _ in range(5)]
        rules = [(source, it, "copy") for it in (to, *others)]
        session = harness.session(account, *rules)
        await session.start()
        await until(lambda: session.reader.is_idle)
        flood = ScriptedFault(FaultKind.REFUSE, 400, "PEER_FLOOD", chat=to.marked, count=0)
        sandbox.server.faults.script.add(flood)
        say(sandbox, source, "one")
        # All lanes had begun when the refusal came.
        await until(lambda: harness.troubles and all(texts(it) == ["one"] for it in others))
        before = sandbox.server.api.requests
        say(sandbox, source, "two")
        await until(lambda: session.reader.channels[source.id].cursor == 3)
        assert "PEER_FLOOD" in harness.troubles[0]
        loop = asyncio.get_running_loop()
        lanes = session.forwarder.lanes.values()
        assert all(it._not_before > loop.time() for it in lanes)
        assert sandbox.server.api.requests == before
        await session.stop()

    run_scenario(scenario)
