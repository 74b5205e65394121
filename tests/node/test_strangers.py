"""Nothing is sent to people who do not know the account, unless a rule says so."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from support.raw import raw, text
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, one_rule, say, texts
from telethon import errors
from telethon.tl import functions, types

from afx.node.session import HostedSession
from afx.sandbox.telegram.peers import Account
from afx.tasks.kinds import chat_backfill, message_broadcast
from afx.tasks.kinds.base import TaskFailedError
from afx.tasks.kinds.chat_backfill import BackfillArguments
from afx.tasks.kinds.message_broadcast import BroadcastArguments
from afx.telegram.leave import Leave
from afx.telegram.strangers import STRANGER, is_stranger, strangers

ASK = functions.users.GetUsersRequest
ALLOWED = {"options": {"strangers": True}}


def heard(person: Account) -> list[str]:
    return [it.text for it in person.box.messages.values() if not it.out]


async def greet(sandbox: SandboxHarness, person: Account, account: Account) -> None:
    client = await sandbox.client(sandbox.login(person, 7))
    await raw(client, text(person, account, "hello", 1))


def test_a_stranger_gets_nothing_and_other_destinations_everything() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        person = sandbox.server.world.add_account(username="a_person")
        session = harness.session(account, (source, (to, "@a_person"), "copy"))
        await session.start()
        assert session.rule_troubles[1].text == f"@a_person: {STRANGER}"
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        await session.stop()
        assert not person.box.messages

    run_scenario(scenario)


@pytest.mark.parametrize("how", ["conversation", "bot", "leave", "leave of another rule"])
def test_who_knows_the_account_or_is_allowed_gets_its_copies(how: str) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, _ = one_rule(sandbox)
        world = sandbox.server.world
        person = world.add_bot() if how == "bot" else world.add_account()
        if how == "conversation":
            await greet(sandbox, person, account)
        rule = (source, f"@{person.username}", "copy")
        more = [(*rule, ALLOWED)] if how.startswith("leave") else []
        rules = more if how == "leave" else [rule, *more]
        session = harness.session(account, *rules)
        await session.start()
        assert not session.rule_troubles
        say(sandbox, source, "one")
        await until(lambda: "one" in heard(person))
        await session.stop()

    run_scenario(scenario)


def test_who_was_known_once_is_not_asked_about_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = RefusingHandler(monkeypatch, ASK)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, _ = one_rule(sandbox)
        person = sandbox.server.world.add_account()
        await greet(sandbox, person, account)
        session = harness.session(account, (source, f"@{person.username}", "copy"))
        await session.start()
        asked.requests.clear()
        name = f"@{person.username}"
        leave = Leave(wary=frozenset({name}))
        assert await session.peers.resolve([name], (), leave) == {name: person.id}
        assert not asked.requests
        assert session._stored.fresh[f"@met:{person.id}"] == str(person.id)
        await session.stop()

    run_scenario(scenario)


def test_leave_that_is_given_later_and_a_first_message_open_the_destination() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, _ = one_rule(sandbox)
        person = sandbox.server.world.add_account()
        session = harness.session(account, (source, f"@{person.username}", "copy"))
        await session.start()
        assert session.rule_troubles
        _allow(session)
        session.poll()
        await until(lambda: not session.rule_troubles)
        say(sandbox, source, "one")
        await until(lambda: heard(person) == ["one"])
        await session.stop()

    run_scenario(scenario)


def test_a_wait_for_the_question_cuts_off_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    RefusingHandler(monkeypatch, ASK, (420, "FLOOD_WAIT_300"))

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, _ = one_rule(sandbox)
        person = sandbox.server.world.add_account()
        session = harness.session(account, (source, f"@{person.username}", "copy"))
        await session.start()
        assert not session.rule_troubles
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize("allowed", [False, True])
def test_a_broadcast_leaves_strangers_out(allowed: bool) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account, person = (sandbox.server.world.add_account() for _ in range(2))
        client = await sandbox.client(sandbox.login(account))

        async def nothing(*_: Any) -> None:
            pass

        task: Any = SimpleNamespace(
            call=client, cursor={}, save=nothing, sleep=nothing, log=lambda _: None, random_id=hash
        )
        chats = [f"@{person.username}"]
        arguments = BroadcastArguments(chats=chats, text="hello", to_strangers=allowed)
        result = await message_broadcast.run(task, arguments)
        assert result.refused == ({} if allowed else {chats[0]: "STRANGER"})
        assert heard(person) == (["hello"] if allowed else [])

    run_scenario(scenario)


def test_a_contact_is_no_stranger_and_neither_is_a_chat() -> None:
    async def call(_: Any) -> Any:
        raise AssertionError("nothing is asked")

    user = types.InputPeerUser(5, 6)
    for entity in (types.User(5, contact=True), types.User(5, is_self=True)):
        assert not asyncio.run(is_stranger(call, user, entity))
    assert not asyncio.run(is_stranger(call, types.InputPeerChannel(5, 6), None))


def _allow(session: HostedSession) -> None:
    session.renew([replace(session.spec.rules[0], options={"strangers": True})])


def test_one_user_who_is_not_there_any_more_hides_no_stranger() -> None:
    asked: list[int] = []

    async def call(request: Any) -> Any:
        if isinstance(request, ASK):
            asked.append(len(request.id))
            if any(it.user_id == 6 for it in request.id):
                raise errors.UserIdInvalidError(request)
            return [types.User(it.user_id, contact=it.user_id == 7) for it in request.id]
        dialogs = [
            types.Dialog(
                types.PeerUser(it.peer.user_id), 0, 0, 0, 0, 0, 0, 0, types.PeerNotifySettings()
            )
            for it in request.peers
        ]
        return types.messages.PeerDialogs(dialogs, [], [], [], None)

    peers = [types.InputPeerUser(it, 1) for it in (5, 6, 7)]
    assert asyncio.run(strangers(call, peers)) == {5}
    assert asked == [3, 1, 1, 1]


def test_a_bot_has_no_strangers() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        bot, person = world.add_bot(), world.add_account()
        client = await sandbox.client(sandbox.login(bot))
        peer = types.InputPeerUser(person.id, person.hash_for(bot.id))
        assert await strangers(client, [peer]) == set()

    run_scenario(scenario)


def test_a_backfill_to_a_stranger_is_refused_unless_it_is_wanted() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        _, account, source, _ = one_rule(sandbox)
        person = sandbox.server.world.add_account()
        say(sandbox, source, "one")

        async def nothing(*_: Any) -> None:
            pass

        client = await sandbox.client(sandbox.login(account))
        task: Any = SimpleNamespace(
            call=client, cursor={}, save=nothing, sleep=nothing, random_id=lambda _: 5
        )
        wanted = {"source": str(source.marked), "destination": f"@{person.username}"}
        with pytest.raises(TaskFailedError, match="to_strangers"):
            await chat_backfill.run(task, BackfillArguments(**wanted))
        await chat_backfill.run(task, BackfillArguments(**wanted, to_strangers=True))
        assert heard(person) == ["one"]

    run_scenario(scenario)
