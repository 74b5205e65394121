"""A bot's session forwards what the bot sees, without what Telegram keeps for people."""

from __future__ import annotations

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, SessionHarness, say, texts
from telethon.tl import functions

from afx.sandbox.telegram.peers import Account, Channel


def bot_rule(sandbox: SandboxHarness) -> tuple[SessionHarness, Account, Channel, Channel]:
    bot = sandbox.server.world.add_bot()
    source, to = sandbox.channel(bot), sandbox.channel(bot, posters=(bot,))
    return SessionHarness(sandbox), bot, source, to


def test_a_bot_forwards_a_channel_that_it_is_in_from_now_on_and_catches_up() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, bot, source, to = bot_rule(sandbox)
        say(sandbox, source, "old", "older")
        session = harness.session(bot, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "new")
        await until(lambda: texts(to) == ["new"])
        await session.stop()
        say(sandbox, source, "missed")
        again = harness.session(bot, (source, to, "copy"), cursors=harness.commit(session))
        await again.start()
        await until(lambda: texts(to) == ["new", "missed"])
        await again.stop()
        assert not again.rule_troubles

    run_scenario(scenario)


def test_a_bot_begins_at_now_in_an_empty_channel_and_in_a_group() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, bot, source, to = bot_rule(sandbox)
        person = sandbox.server.world.add_account()
        group = sandbox.server.world.add_group("group", person.id, [bot.id])
        session = harness.session(bot, (source, to, "copy"), (str(group.marked), to, "copy"))
        await session.start()
        say(sandbox, source, "of the channel")
        client = await sandbox.client(sandbox.login(person))
        await client.get_dialogs()
        await client.send_message(group.marked, "of the group")
        await until(lambda: len(texts(to)) == 2)
        assert sorted(texts(to)) == ["of the channel", "of the group"]
        await session.stop()

    run_scenario(scenario)


def test_a_wait_for_a_channel_that_a_bot_asks_for_stops_its_rule_and_not_the_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, bot, source, to = bot_rule(sandbox)
        RefusingHandler(
            monkeypatch, functions.channels.GetChannelsRequest, (420, "FLOOD_WAIT_3600")
        )
        session = harness.session(bot, (source, to, "copy"))
        await session.start()
        assert list(session.rule_troubles) == [1]
        await session.stop()

    run_scenario(scenario)


def test_a_channel_that_the_bot_is_not_in_stops_its_rule_alone() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, bot, source, to = bot_rule(sandbox)
        closed = sandbox.channel()
        session = harness.session(bot, (closed, to, "copy"), (source, to, "copy"))
        await session.start()
        say(sandbox, source, "new")
        await until(lambda: texts(to) == ["new"])
        assert list(session.rule_troubles) == [1]
        await session.stop()

    run_scenario(scenario)
