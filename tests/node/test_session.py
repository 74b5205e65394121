"""A hosted session against a sandbox in the test's own loop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import pytest
from support.sandbox import Town, play, until
from telethon import errors
from telethon.tl import functions

from afx.clock import SYSTEM_CLOCK
from afx.cluster.specs import RuleSpec, SessionSpec
from afx.node import lane
from afx.node.session import Environment, HostedSession, StartError, Totals
from afx.sandbox.errors import RpcError
from afx.sandbox.judge.flow import post
from afx.sandbox.telegram.methods.call import HANDLERS
from afx.sandbox.telegram.peers import Account, Channel
from afx.telegram import client, updates
from afx.telegram.client import guarded_connection
from afx.telegram.messages import incoming
from afx.telegram.sender import send
from afx.telegram.session import StoredSession


class Harness:
    """Makes hosted sessions, and records what they report."""

    def __init__(self, sandbox: Town) -> None:
        self.sandbox = sandbox
        self.may_write = True
        self.lost: list[BaseException] = []
        self.troubles: list[str] = []
        self.progress: dict[str, str] = {}

    def session(
        self,
        account: Account,
        *rules: tuple[Any, Any, str],
        cursors: Mapping[str, str] | None = None,
    ) -> HostedSession:
        spec = SessionSpec(
            1,
            "one",
            "free",
            "",
            tuple(
                RuleSpec(number, (_name(a),), (_name(b),), mode)
                for number, (a, b, mode) in enumerate(rules, 1)
            ),
        )
        environment = Environment(
            api_id=1,
            api_hash="sandbox",
            connection=guarded_connection(lambda: self.may_write, 2.0),
            may_write=lambda: self.may_write,
            dirty=lambda _: None,
            gave_up=lambda _, error: self.lost.append(error),
            trouble=lambda _, _reason, text: self.troubles.append(text),
            clock=SYSTEM_CLOCK,
            rng=random.Random(1),
            totals=Totals(),
        )
        stored = StoredSession(self.sandbox.login(account), cursors or {}, {})
        return HostedSession(spec, 1, stored, environment)

    def commit(self, session: HostedSession) -> dict[str, str]:
        """Return the cursors as a host would have stored them."""
        cursor = session.collect_uncommitted().cursor
        self.progress.update(zip(cursor[::2], cursor[1::2], strict=True))
        return dict(self.progress)


def _name(chat: Channel | str) -> str:
    return chat if isinstance(chat, str) else str(chat.marked)


def texts(channel: Channel) -> list[str]:
    return [it.text for it in channel.box.messages.values()]


def one_rule(sandbox: Town) -> tuple[Harness, Account, Channel, Channel]:
    account = sandbox.server.world.add_account()
    return Harness(sandbox), account, sandbox.channel(account), sandbox.channel(posters=(account,))


def say(sandbox: Town, channel: Channel, *said: str) -> None:
    for text in said:
        post(sandbox.server, channel.marked, 0, text)


@pytest.mark.parametrize("mode", ["copy", "forward"])
def test_messages_appear_in_the_destination_in_order(mode: str) -> None:
    async def scenario(sandbox: Town) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, mode))
        await session.start()
        wanted = [f"message {number}" for number in range(300)]
        say(sandbox, source, *wanted)
        await until(lambda: len(texts(to)) == 300)
        assert texts(to) == wanted
        origins = {it.forwarded is not None for it in to.box.messages.values()}
        assert origins == {mode == "forward"}
        await session.stop()

    play(scenario)


def test_a_rule_may_name_chats_by_their_public_names() -> None:
    async def scenario(sandbox: Town) -> None:
        world = sandbox.server.world
        account = world.add_account()
        source = world.add_channel("source", username="the_source", members=[account.id])
        to = world.add_channel("to", username="the_copies", posters=[account.id])
        session = Harness(sandbox).session(account, ("@the_source", "@the_copies", "copy"))
        await session.start()
        say(sandbox, source, "hello")
        await until(lambda: texts(to) == ["hello"])
        await session.stop()

    play(scenario)


def test_private_chats_and_groups_are_sources_too() -> None:
    async def scenario(sandbox: Town) -> None:
        world = sandbox.server.world
        account, friend = world.add_account(), world.add_account()
        group = world.add_group("group", friend.id, [account.id])
        to = sandbox.channel(posters=(account,))
        world.deliver(account, friend, "an old message makes it a dialog")
        harness = Harness(sandbox)
        session = harness.session(
            account, (str(friend.id), to, "copy"), (str(group.marked), to, "copy")
        )
        await session.start()
        post(sandbox.server, account.id, friend.id, "from a friend")
        post(sandbox.server, group.marked, friend.id, "from a group")
        await until(lambda: len(texts(to)) == 2)
        assert texts(to) == ["from a friend", "from a group"]
        await session.stop()

    play(scenario)


def test_entities_are_kept_in_a_copy() -> None:
    async def scenario(sandbox: Town) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        from telethon.tl.types import MessageEntityBold

        bold = [MessageEntityBold(0, 4)]
        message, event = sandbox.server.world.post(source, 0, "bold", entities=bold)
        sandbox.server.pushes.channel_event(source, event, message)
        await until(lambda: texts(to))
        [copy] = to.box.messages.values()
        assert [type(it) for it in copy.entities] == [MessageEntityBold]
        await session.stop()

    play(scenario)


def test_messages_from_before_the_first_start_are_not_forwarded() -> None:
    async def scenario(sandbox: Town) -> None:
        harness, account, source, to = one_rule(sandbox)
        say(sandbox, source, "old")
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "new")
        await until(lambda: texts(to))
        assert texts(to) == ["new"]
        await session.stop()

    play(scenario)


def test_a_later_start_goes_on_from_the_stored_cursor() -> None:
    async def scenario(sandbox: Town) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        await session.stop()
        missed = [f"missed {number}" for number in range(250)]
        say(sandbox, source, *missed)
        again = harness.session(account, (source, to, "copy"), cursors=harness.commit(session))
        await again.start()
        await until(lambda: len(texts(to)) == 251)
        assert texts(to) == ["one", *missed]
        await again.stop()

    play(scenario)


@pytest.mark.parametrize("mode", ["copy", "forward"])
def test_a_replay_from_an_old_cursor_doubles_nothing(mode: str) -> None:
    async def scenario(sandbox: Town) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, mode))
        await session.start()
        old = harness.commit(session)
        said = [f"message {number}" for number in range(40)]
        say(sandbox, source, *said)
        await until(lambda: len(texts(to)) == 40)
        await session.stop()
        say(sandbox, source, "after the crash")
        again = harness.session(account, (source, to, mode), cursors=old)
        await again.start()
        await until(lambda: len(texts(to)) == 41)
        assert texts(to) == [*said, "after the crash"]
        copies: list[int] = []

        def rebuilt() -> bool:
            copies.extend(it.copy for it in again.collect_uncommitted().links)
            return len(copies) >= 41

        await until(rebuilt)
        assert copies == list(range(1, 42)), "links are rebuilt"
        await again.stop()

    play(scenario)


def test_a_cursor_that_telegram_finds_too_old_skips_nothing() -> None:
    async def scenario(sandbox: Town) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        await session.stop()
        missed = [f"missed {number}" for number in range(250)]
        say(sandbox, source, *missed)
        again = harness.session(account, (source, to, "copy"), cursors=harness.commit(session))
        await again.start()
        await until(lambda: len(texts(to)) == 251)
        assert texts(to) == ["one", *missed]
        await again.stop()

    play(scenario, log_limit=20)


def test_a_cut_connection_loses_and_doubles_nothing() -> None:
    async def scenario(sandbox: Town) -> None:
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

    play(scenario)


def test_a_flood_wait_holds_up_only_its_own_destination() -> None:
    async def scenario(sandbox: Town) -> None:
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

    play(scenario)


def test_a_destination_that_refuses_is_reported_and_holds_up_nothing() -> None:
    async def scenario(sandbox: Town) -> None:
        harness, account, source, to = one_rule(sandbox)
        closed = sandbox.channel(account)
        session = harness.session(account, (source, closed, "copy"), (source, to, "copy"))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: harness.troubles and texts(to))
        assert "CHAT_WRITE_FORBIDDEN" in harness.troubles[0]
        await until(lambda: harness.commit(session)[f"channel:{source.id}"] == "2")
        await session.stop()

    play(scenario)


def test_chats_that_forward_to_each_other_do_not_loop() -> None:
    async def scenario(sandbox: Town) -> None:
        account = sandbox.server.world.add_account()
        one, two = sandbox.channel(posters=(account,)), sandbox.channel(posters=(account,))
        session = Harness(sandbox).session(account, (one, two, "copy"), (two, one, "copy"))
        await session.start()
        say(sandbox, one, "from one")
        say(sandbox, two, "from two")
        await until(lambda: len(texts(one)) == len(texts(two)) == 2)
        await asyncio.sleep(0.05)
        assert sorted(texts(one)) == sorted(texts(two)) == ["from one", "from two"]
        await session.stop()

    play(scenario)


def test_a_chat_that_the_account_does_not_know_is_a_reason_not_to_start() -> None:
    async def scenario(sandbox: Town) -> None:
        harness, account, source, _to = one_rule(sandbox)
        session = harness.session(account, (source, "@nobody_here", "copy"))
        with pytest.raises(StartError, match="@nobody_here"):
            await session.start()
        await session.stop()
        await until(lambda: not sandbox.server.connections)

    play(scenario)


def test_a_revoked_login_ends_the_session_at_once() -> None:
    async def scenario(sandbox: Town) -> None:
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

    play(scenario)


def test_without_a_lease_not_a_byte_is_written() -> None:
    async def scenario(sandbox: Town) -> None:
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

    play(scenario)


class Answers:
    """Counts one method's requests, and answers the first ones by an error."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, request: type, *refusals: tuple[int, str]
    ) -> None:
        self.requests: list[Any] = []
        self._refusals = list(refusals)
        self._answer = HANDLERS[request]
        monkeypatch.setitem(HANDLERS, request, self._handle)

    def _handle(self, call: Any, request: Any) -> Any:
        self.requests.append(request)
        if self._refusals:
            raise RpcError(*self._refusals.pop(0))
        return self._answer(call, request)


def test_a_difference_is_asked_for_with_a_date_and_later_with_the_stored_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    differences = Answers(monkeypatch, functions.updates.GetDifferenceRequest)

    async def scenario(sandbox: Town) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        await session.stop()
        date = int(harness.commit(session)["account"].split(":")[2])
        assert date == int(differences.requests[0].date.timestamp()) > 0
        cursors = {**harness.progress, "account": "1:0:1700000000"}
        again = harness.session(account, (source, to, "copy"), cursors=cursors)
        await again.start()
        await again.stop()
        assert int(differences.requests[1].date.timestamp()) == 1_700_000_000

    play(scenario)


def test_a_stored_cursor_without_a_date_gets_one_and_keeps_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    differences = Answers(monkeypatch, functions.updates.GetDifferenceRequest)

    async def scenario(sandbox: Town) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"), cursors={"account": "1:0:0"})
        await session.start()
        await session.stop()
        assert differences.requests[0].pts == 1
        assert differences.requests[0].date.timestamp() > 0

    play(scenario)


@pytest.mark.parametrize("name", ["TOPIC_CLOSED", "PRIVACY_PREMIUM_REQUIRED"])
def test_a_406_about_one_message_is_reported_and_does_not_end_the_session(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    Answers(monkeypatch, functions.messages.SendMessageRequest, (406, name))

    async def scenario(sandbox: Town) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: harness.troubles)
        say(sandbox, source, "two")
        await until(lambda: texts(to) == ["two"])
        assert name in harness.troubles[0]
        assert not harness.lost
        await session.stop()

    play(scenario)


def test_the_loop_guard_keeps_messages_of_unrelated_rules() -> None:
    """Their ids are those of copies in another chat, whose answers were lost."""

    async def scenario(sandbox: Town) -> None:
        account = sandbox.server.world.add_account()
        one, two = sandbox.channel(posters=(account,)), sandbox.channel(posters=(account,))
        source, to = sandbox.channel(account), sandbox.channel(posters=(account,))
        session = Harness(sandbox).session(
            account, (one, two, "copy"), (two, one, "copy"), (source, to, "copy")
        )
        await session.start()
        wanted = [f"message {number}" for number in range(15)]
        for number, text in enumerate(wanted):
            say(sandbox, one, text)
            say(sandbox, source, text)
            if number % 5 == 2:
                await asyncio.sleep(0.01)
                sandbox.server.connections.drop(account.id)
        await until(lambda: len(texts(to)) >= 15 and len(texts(two)) >= 15)
        assert texts(to) == texts(two) == texts(one) == wanted
        await session.stop()

    play(scenario)


def test_an_update_that_cannot_be_handled_is_reported_and_fetched_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail_once(message: Any) -> Any:
        monkeypatch.setattr(updates, "incoming", incoming)
        raise TypeError("a message of a new kind")

    async def scenario(sandbox: Town) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        monkeypatch.setattr(updates, "incoming", fail_once)
        say(sandbox, source, "one")
        await until(lambda: harness.troubles)
        say(sandbox, source, "two")
        await until(lambda: texts(to) == ["one", "two"])
        await session.stop()

    play(scenario)


def test_an_error_in_a_lane_is_reported_and_does_not_reconnect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail_once(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(lane, "send", send)
        raise ValueError("no access hash is known")

    async def scenario(sandbox: Town) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        connections = set(sandbox.server.connections)
        monkeypatch.setattr(lane, "send", fail_once)
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        assert "no access hash" in harness.troubles[0]
        assert set(sandbox.server.connections) == connections
        await session.stop()

    play(scenario)


def test_more_missed_messages_than_fit_in_memory_are_worked_off_after_an_outage() -> None:
    async def scenario(sandbox: Town) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "forward"))
        await session.start()
        sandbox.server.faults.refusing = True
        sandbox.server.connections.drop(account.id)
        wanted = [f"message {number}" for number in range(2_300)]
        say(sandbox, source, *wanted)
        sandbox.server.faults.refusing = False
        await until(lambda: len(texts(to)) >= len(wanted))
        assert texts(to) == wanted
        await session.stop()

    play(scenario)


def test_a_request_without_an_answer_leads_to_a_new_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(sandbox: Town) -> None:
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

    play(scenario)
