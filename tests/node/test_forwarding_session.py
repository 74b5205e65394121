"""A hosted session forwards messages from its sources to its destinations."""

from __future__ import annotations

import asyncio

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import SessionHarness, one_rule, say, texts

from afx.sandbox.judge.flow import post


@pytest.mark.parametrize("mode", ["copy", "forward"])
def test_messages_appear_in_the_destination_in_order(mode: str) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
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

    run_scenario(scenario)


def test_a_rule_may_name_chats_by_their_public_names() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        account = world.add_account()
        source = world.add_channel("source", username="the_source", members=[account.id])
        to = world.add_channel("to", username="the_copies", posters=[account.id])
        session = SessionHarness(sandbox).session(account, ("@the_source", "@the_copies", "copy"))
        await session.start()
        say(sandbox, source, "hello")
        await until(lambda: texts(to) == ["hello"])
        await session.stop()

    run_scenario(scenario)


def test_private_chats_and_groups_are_sources_too() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        account, friend = world.add_account(), world.add_account()
        group = world.add_group("group", friend.id, [account.id])
        to = sandbox.channel(posters=(account,))
        world.deliver(account, friend, "an old message makes it a dialog")
        harness = SessionHarness(sandbox)
        session = harness.session(
            account, (str(friend.id), to, "copy"), (str(group.marked), to, "copy")
        )
        await session.start()
        post(sandbox.server, account.id, friend.id, "from a friend")
        post(sandbox.server, group.marked, friend.id, "from a group")
        await until(lambda: len(texts(to)) == 2)
        assert texts(to) == ["from a friend", "from a group"]
        await session.stop()

    run_scenario(scenario)


def test_entities_are_kept_in_a_copy() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
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

    run_scenario(scenario)


def test_chats_that_forward_to_each_other_do_not_loop() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        one, two = sandbox.channel(posters=(account,)), sandbox.channel(posters=(account,))
        session = SessionHarness(sandbox).session(account, (one, two, "copy"), (two, one, "copy"))
        await session.start()
        say(sandbox, one, "from one")
        say(sandbox, two, "from two")
        await until(lambda: len(texts(one)) == len(texts(two)) == 2)
        await asyncio.sleep(0.05)
        assert sorted(texts(one)) == sorted(texts(two)) == ["from one", "from two"]
        await session.stop()

    run_scenario(scenario)


def test_the_loop_guard_keeps_messages_of_unrelated_rules() -> None:
    """Their ids are those of copies in another chat, whose answers were lost."""

    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        one, two = sandbox.channel(posters=(account,)), sandbox.channel(posters=(account,))
        source, to = sandbox.channel(account), sandbox.channel(posters=(account,))
        session = SessionHarness(sandbox).session(
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

    run_scenario(scenario)
