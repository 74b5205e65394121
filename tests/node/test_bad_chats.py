"""One bad chat stops the routes that lead through it, and they start again by themselves."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, SessionHarness, one_rule, say, texts
from telethon.tl import functions

from afx.clock import SYSTEM_CLOCK
from afx.cluster.specs import RuleSpec
from afx.node import lane
from afx.node.closed_routes import RETRY_SECONDS, ClosedRoutes
from afx.node.kept_boxes import KEPT_SECONDS
from afx.node.session import HostedSession
from afx.reasons import DeadReason, TroubleReason
from afx.sandbox.telegram import membership


class Later:
    """A clock that a test can put forward."""

    def __init__(self, harness: SessionHarness) -> None:
        self._offset = 0.0
        harness.clock = replace(SYSTEM_CLOCK, monotonic=lambda: time.monotonic() + self._offset)

    def try_again(self, session: HostedSession) -> None:
        """Let the time pass after which what is closed is tried again."""
        self._offset += RETRY_SECONDS * 1.3
        session.poll()


def reason(session: HostedSession, rule: int) -> TroubleReason | None:
    trouble = session.rule_troubles.get(rule)
    return trouble.reason if trouble else None


@pytest.mark.parametrize("name", ["@first_name", "@second_name"])
def test_a_chat_is_found_by_any_of_its_usernames(name: str) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        membership.rename(sandbox.server.world, source, ["first_name", "second_name"])
        session = harness.session(account, (name, to, "copy"))
        await session.start()
        assert not session.rule_troubles
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        await session.stop()

    run_scenario(scenario)


def test_a_wait_for_names_is_obeyed_and_told_and_holds_up_no_other_rule(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve = functions.contacts.ResolveUsernameRequest
    asked = RefusingHandler(monkeypatch, resolve, (420, "FLOOD_WAIT_7200"))

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        later = Later(harness)
        sandbox.server.world.add_channel("named", username="a_name")
        session = harness.session(account, ("@a_name", to, "copy"), (source, to, "copy"))
        await session.start()
        trouble = session.rule_troubles[1]
        assert trouble.reason is TroubleReason.CHAT_UNKNOWN
        assert trouble.text == "@a_name: Telegram wants a wait before names are looked up"
        assert session.wait_left("contacts.ResolveUsername") > 7_000
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        later.try_again(session)
        await until(lambda: session._rules._task and session._rules._task.done())
        assert len(asked.requests) == 1, "nothing is asked before the wait is over"
        session.forwarder.waits._until = {}
        session.client._flood_waited_requests.clear()  # Telethon's memory, of one run
        later._offset += 3_600
        session.poll()
        await until(lambda: not session.rule_troubles)
        assert len(asked.requests) == 2
        await session.stop()

    run_scenario(scenario)


def test_an_unknown_chat_stops_its_rule_alone_until_the_account_knows_it() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        later = Later(harness)
        secret = sandbox.channel()
        session = harness.session(account, (secret, to, "copy"), (source, to, "copy"))
        await session.start()
        assert reason(session, 1) is TroubleReason.CHAT_UNKNOWN
        assert str(secret.marked) in session.rule_troubles[1].text
        say(sandbox, secret, "backlog")
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        assert reason(session, 2) is None
        sandbox.server.world.join(secret, account)
        later.try_again(session)
        await until(lambda: not session.rule_troubles)
        assert harness.rules == {1: None}
        say(sandbox, secret, "two")
        await until(lambda: texts(to) == ["one", "two"])
        await until(lambda: harness.commit(session)[f"channel:{secret.id}"] == "3")
        await session.stop()

    run_scenario(scenario)


def test_a_destination_that_is_unknown_stops_its_rule_alone() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, "@nobody_here", "copy"), (source, to, "copy"))
        await session.start()
        assert reason(session, 1) is TroubleReason.CHAT_UNKNOWN
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        await session.stop()

    run_scenario(scenario)


def test_a_source_that_cannot_be_read_at_the_start_stops_its_rule_alone() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        later = Later(harness)
        closed = sandbox.channel(account)
        closed.banned.add(account.id)
        session = harness.session(account, (closed, to, "copy"), (source, to, "copy"))
        await session.start()
        assert session.rule_troubles[1].text == f"{closed.marked}: CHANNEL_PRIVATE"
        say(sandbox, closed, "backlog")
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        later.try_again(session)
        await until(lambda: session.reader.is_idle)
        assert reason(session, 1) is TroubleReason.SOURCE_UNREADABLE
        closed.banned.clear()
        later.try_again(session)
        later.try_again(session)
        await until(lambda: not session.rule_troubles)
        say(sandbox, closed, "two")
        await until(lambda: texts(to) == ["one", "two"])
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize("restarted", [False, True])
def test_a_source_that_becomes_unreadable_for_a_while_stops_its_rule_and_loses_nothing(
    restarted: bool,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        later = Later(harness)
        other = sandbox.channel(account)
        rules = (source, to, "copy"), (other, to, "copy")
        session = harness.session(account, *rules)
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: harness.commit(session)[f"channel:{source.id}"] == "2")
        session.note_committed()
        source.banned.add(account.id)
        source.members.discard(account.id)
        session.poll()
        await until(lambda: reason(session, 1) is TroubleReason.SOURCE_UNREADABLE)
        assert f"channel:{source.id}" in harness.commit(session)
        say(sandbox, source, "unseen")
        say(sandbox, other, "two")
        await until(lambda: texts(to) == ["one", "two"])
        if restarted:
            await session.stop()
            harness.commit(session)
            session = harness.session(account, *rules, cursors=harness.progress)
            await session.start()
            await until(lambda: reason(session, 1) is TroubleReason.SOURCE_UNREADABLE)
        source.banned.clear()
        sandbox.server.world.join(source, account)
        later.try_again(session)
        await until(lambda: not session.rule_troubles)
        say(sandbox, source, "three")
        await until(lambda: texts(to) == ["one", "two", "unseen", "three"])
        await until(lambda: harness.commit(session).get(f"channel:{source.id}") == "4")
        await session.stop()

    run_scenario(scenario)


def test_a_source_that_was_unreadable_for_long_begins_again_without_a_backlog() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        later = Later(harness)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        source.banned.add(account.id)
        source.members.discard(account.id)
        session.poll()
        await until(lambda: reason(session, 1) is TroubleReason.SOURCE_UNREADABLE)
        say(sandbox, source, "unseen")
        later._offset += KEPT_SECONDS
        later.try_again(session)
        await until(lambda: any("after its message 1 is not" in it for it in harness.troubles))
        assert f"channel:{source.id}" not in harness.commit(session)
        session.note_committed()
        await until(lambda: session.reader.is_idle)
        source.banned.clear()
        sandbox.server.world.join(source, account)
        for _ in range(3):
            later._offset += KEPT_SECONDS
            later.try_again(session)
            await asyncio.sleep(0.05)
        await until(lambda: not session.rule_troubles)
        say(sandbox, source, "three")
        await until(lambda: texts(to) == ["one", "three"])
        await until(lambda: harness.commit(session).get(f"channel:{source.id}") == "4")
        await session.stop()

    run_scenario(scenario)


def test_a_destination_that_refuses_is_left_alone_and_tried_again_later() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        later = Later(harness)
        closed = sandbox.channel(account)
        session = harness.session(account, (source, closed, "copy"), (source, to, "copy"))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: reason(session, 1) is TroubleReason.DESTINATION_CLOSED)
        assert session.rule_troubles[1].text == f"{closed.marked}: CHAT_WRITE_FORBIDDEN"
        assert any("CHAT_WRITE_FORBIDDEN" in it for it in harness.troubles)
        refused = len(harness.troubles)
        say(sandbox, source, "two", "three")
        await until(lambda: texts(to) == ["one", "two", "three"])
        await until(lambda: harness.commit(session)[f"channel:{source.id}"] == "4")
        assert len(harness.troubles) == refused, "nothing more was sent there"
        closed.posters.add(account.id)
        later.try_again(session)
        say(sandbox, source, "four")
        await until(lambda: texts(closed) == ["one", "two", "three", "four"])
        await until(lambda: not session.rule_troubles)
        assert harness.rules == {1: None}
        harness.commit(session)
        assert not harness.dead
        await session.stop()

    run_scenario(scenario)


def test_what_waits_for_a_destination_that_refuses_is_stored_and_survives_a_restart() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, _to = one_rule(sandbox)
        closed = sandbox.channel(account)
        said = [f"message {number}" for number in range(120)]
        session = harness.session(account, (source, closed, "copy"))
        await session.start()
        say(sandbox, source, *said)
        await until(lambda: harness.commit(session)[f"channel:{source.id}"] == "121")
        assert sum("CHAT_WRITE_FORBIDDEN" in it for it in harness.troubles) == 1
        await session.stop()
        closed.posters.add(account.id)
        again = harness.session(account, (source, closed, "copy"), cursors=harness.progress)
        await again.start()
        await until(lambda: texts(closed) == said)
        harness.commit(again)
        assert not harness.dead
        await again.stop()

    run_scenario(scenario)


def test_a_chat_that_is_source_and_destination_keeps_what_waits_while_it_is_closed() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        later = Later(harness)
        sandbox.server.world.join(to, account)
        to.posters.discard(account.id)
        source.posters.add(account.id)
        session = harness.session(account, (source, to, "copy"), (to, source, "copy"))
        await session.start()
        say(sandbox, source, "one", "two")
        await until(lambda: reason(session, 1) is TroubleReason.DESTINATION_CLOSED)
        to.posters.add(account.id)
        later.try_again(session)
        await until(lambda: texts(to) == ["one", "two"])
        say(sandbox, to, "three")
        await until(lambda: texts(source) == ["one", "two", "three"])
        assert texts(to) == ["one", "two", "three"]
        await session.stop()

    run_scenario(scenario)


def test_more_than_a_closed_destinations_outbox_takes_are_dead_letters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lane, "_MOST_FOR_CLOSED", 100)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, _to = one_rule(sandbox)
        closed = sandbox.channel(account)
        session = harness.session(account, (source, closed, "copy"))
        await session.start()
        say(sandbox, source, "message 0")
        await until(lambda: session.rule_troubles)
        said = [f"message {number}" for number in range(400)]
        say(sandbox, source, *said[1:])
        await until(lambda: harness.commit(session)[f"channel:{source.id}"] == "401")
        dead = [message for it in harness.dead for message in it.messages]
        assert {it.reason for it in harness.dead} == {DeadReason.DESTINATION_CLOSED}
        assert dead == list(range(1, len(dead) + 1))
        closed.posters.add(account.id)
        session.forwarder.try_again(closed.marked)
        await until(lambda: texts(closed)[-1:] == said[-1:])
        assert texts(closed) == said[len(dead) :]
        assert len(texts(closed)) <= 100
        await session.stop()

    run_scenario(scenario)


def test_a_file_whose_reference_has_expired_is_fetched_and_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expired = (400, "FILE_REFERENCE_EXPIRED")
    RefusingHandler(monkeypatch, functions.messages.ForwardMessagesRequest, expired, expired)
    fetched = RefusingHandler(monkeypatch, functions.channels.GetMessagesRequest)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "forward"))
        await session.start()
        say(sandbox, source, "one", "two")
        await until(lambda: texts(to) == ["one", "two"])
        assert len(fetched.requests) >= 1
        assert not harness.troubles
        await session.stop()

    run_scenario(scenario)


def test_a_file_that_stays_expired_is_refused_and_holds_up_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expired = (400, "FILE_REFERENCE_EXPIRED")
    RefusingHandler(monkeypatch, functions.messages.ForwardMessagesRequest, *[expired] * 4)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "forward"))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: harness.troubles)
        assert "FILE_REFERENCE_EXPIRED" in harness.troubles[0]
        say(sandbox, source, "two")
        await until(lambda: texts(to) == ["two"])
        assert not session.rule_troubles
        await session.stop()

    run_scenario(scenario)


def test_an_error_about_the_connection_does_not_drop_the_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    RefusingHandler(
        monkeypatch, functions.messages.SendMessageRequest, (400, "CONNECTION_NOT_INITED")
    )

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        assert not harness.troubles
        await session.stop()

    run_scenario(scenario)


def test_routes_beside_an_unreadable_source_stay_in_use() -> None:
    rules = [RuleSpec(1, ("1", "2"), ("3", "4"), "copy"), RuleSpec(2, ("2",), ("4",), "copy")]
    closed = ClosedRoutes(rules)
    closed.note_known({"1": 1, "2": 2, "3": 3, "4": 4})
    closed.note_unreadable({1: "CHANNEL_PRIVATE"})
    assert list(closed.in_use) == [2]
    closed.note_readable([1])
    assert closed.in_use == closed.routes


def test_a_closed_destination_is_tried_again_and_again_after_longer_pauses() -> None:
    closed = ClosedRoutes([RuleSpec(1, ("1", "5"), ("3", "4"), "copy")])
    closed.note_known({"1": 1, "3": 3, "4": 4})
    assert set(closed.incomplete) == {1}
    closed.note_known({"5": 5})
    assert not closed.incomplete
    closed.note_refused(3, "CHAT_WRITE_FORBIDDEN", 0.0, 1.0)
    assert list(closed.troubles()) == [1]
    assert closed.take_due(299.0) == []
    assert closed.take_due(300.0) == [3]
    assert closed.take_due(9_999.0) == []
    for pause in (600.0, 1_200.0, 1_800.0, 1_800.0):
        closed.note_refused(3, "CHAT_WRITE_FORBIDDEN", 0.0, 1.0)
        assert closed.take_due(pause - 1) == []
        assert closed.take_due(pause) == [3]
    closed.note_works(3)
    assert not closed.troubles()
