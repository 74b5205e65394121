"""A running session against a sandbox in the test's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from support.sandbox import Town, play, until
from telethon import errors

from afx.cluster.specs import RuleSpec, SessionSpec
from afx.node.running import Environment, RunningSession, StartError
from afx.sandbox.judge.flow import post
from afx.sandbox.telegram.peers import Account, Channel
from afx.telegram.client import guarded_connection
from afx.telegram.session import StoredSession


class Stage:
    """Makes running sessions, and remembers what they tell."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.may_write = True
        self.lost: list[BaseException] = []
        self.troubles: list[str] = []
        self.progress: dict[str, str] = {}

    def session(
        self,
        account: Account,
        *rules: tuple[Any, Any, str],
        cursors: Mapping[str, str] | None = None,
    ) -> RunningSession:
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
            1,
            "sandbox",
            guarded_connection(lambda: self.may_write, 2.0),
            lambda: self.may_write,
            lambda _: None,
            lambda _, error: self.lost.append(error),
            lambda _, _reason, text: self.troubles.append(text),
        )
        stored = StoredSession(self.town.login(account), cursors or {}, {})
        return RunningSession(spec, 1, stored, environment)

    def commit(self, session: RunningSession) -> dict[str, str]:
        """Return the cursors as a host would have stored them."""
        cursor, _links, _fresh = session.collect_uncommitted()
        self.progress.update(zip(cursor[::2], cursor[1::2], strict=True))
        return dict(self.progress)


def _name(chat: Channel | str) -> str:
    return chat if isinstance(chat, str) else str(chat.marked)


def texts(channel: Channel) -> list[str]:
    return [it.text for it in channel.box.messages.values()]


def scene(town: Town) -> tuple[Stage, Account, Channel, Channel]:
    account = town.server.world.add_account()
    return Stage(town), account, town.channel(account), town.channel(posters=(account,))


def say(town: Town, channel: Channel, *said: str) -> None:
    for text in said:
        post(town.server, channel.marked, 0, text)


@pytest.mark.parametrize("mode", ["copy", "forward"])
def test_messages_appear_in_the_destination_in_order(mode: str) -> None:
    async def story(town: Town) -> None:
        stage, account, source, to = scene(town)
        session = stage.session(account, (source, to, mode))
        await session.start()
        wanted = [f"message {number}" for number in range(300)]
        say(town, source, *wanted)
        await until(lambda: len(texts(to)) == 300)
        assert texts(to) == wanted
        origins = {it.forwarded is not None for it in to.box.messages.values()}
        assert origins == {mode == "forward"}
        await session.stop()

    play(story)


def test_a_rule_may_name_chats_by_their_public_names() -> None:
    async def story(town: Town) -> None:
        world = town.server.world
        account = world.add_account()
        source = world.add_channel("source", username="the_source", members=[account.id])
        to = world.add_channel("to", username="the_copies", posters=[account.id])
        session = Stage(town).session(account, ("@the_source", "@the_copies", "copy"))
        await session.start()
        say(town, source, "hello")
        await until(lambda: texts(to) == ["hello"])
        await session.stop()

    play(story)


def test_private_chats_and_groups_are_sources_too() -> None:
    async def story(town: Town) -> None:
        world = town.server.world
        account, friend = world.add_account(), world.add_account()
        group = world.add_group("group", friend.id, [account.id])
        to = town.channel(posters=(account,))
        world.deliver(account, friend, "an old message makes it a dialog")
        stage = Stage(town)
        session = stage.session(
            account, (str(friend.id), to, "copy"), (str(group.marked), to, "copy")
        )
        await session.start()
        post(town.server, account.id, friend.id, "from a friend")
        post(town.server, group.marked, friend.id, "from a group")
        await until(lambda: len(texts(to)) == 2)
        assert texts(to) == ["from a friend", "from a group"]
        await session.stop()

    play(story)


def test_entities_are_kept_in_a_copy() -> None:
    async def story(town: Town) -> None:
        stage, account, source, to = scene(town)
        session = stage.session(account, (source, to, "copy"))
        await session.start()
        from telethon.tl.types import MessageEntityBold

        bold = [MessageEntityBold(0, 4)]
        message, event = town.server.world.post(source, 0, "bold", entities=bold)
        town.server.pushes.channel_event(source, event, message)
        await until(lambda: texts(to))
        [copy] = to.box.messages.values()
        assert [type(it) for it in copy.entities] == [MessageEntityBold]
        await session.stop()

    play(story)


def test_what_was_said_before_the_first_start_is_not_forwarded() -> None:
    async def story(town: Town) -> None:
        stage, account, source, to = scene(town)
        say(town, source, "old")
        session = stage.session(account, (source, to, "copy"))
        await session.start()
        say(town, source, "new")
        await until(lambda: texts(to))
        assert texts(to) == ["new"]
        await session.stop()

    play(story)


def test_a_later_start_goes_on_from_the_stored_cursor() -> None:
    async def story(town: Town) -> None:
        stage, account, source, to = scene(town)
        session = stage.session(account, (source, to, "copy"))
        await session.start()
        say(town, source, "one")
        await until(lambda: texts(to) == ["one"])
        await session.stop()
        missed = [f"missed {number}" for number in range(250)]
        say(town, source, *missed)
        again = stage.session(account, (source, to, "copy"), cursors=stage.commit(session))
        await again.start()
        await until(lambda: len(texts(to)) == 251)
        assert texts(to) == ["one", *missed]
        await again.stop()

    play(story)


@pytest.mark.parametrize("mode", ["copy", "forward"])
def test_a_replay_from_an_old_cursor_doubles_nothing(mode: str) -> None:
    async def story(town: Town) -> None:
        stage, account, source, to = scene(town)
        session = stage.session(account, (source, to, mode))
        await session.start()
        old = stage.commit(session)
        said = [f"message {number}" for number in range(40)]
        say(town, source, *said)
        await until(lambda: len(texts(to)) == 40)
        await session.stop()
        say(town, source, "after the crash")
        again = stage.session(account, (source, to, mode), cursors=old)
        await again.start()
        await until(lambda: len(texts(to)) == 41)
        assert texts(to) == [*said, "after the crash"]
        copies: list[int] = []

        def rebuilt() -> bool:
            copies.extend(it.copy for it in again.collect_uncommitted()[1])
            return len(copies) >= 41

        await until(rebuilt)
        assert copies == list(range(1, 42)), "links are rebuilt"
        await again.stop()

    play(story)


def test_a_cursor_that_telegram_finds_too_old_skips_nothing() -> None:
    async def story(town: Town) -> None:
        stage, account, source, to = scene(town)
        session = stage.session(account, (source, to, "copy"))
        await session.start()
        say(town, source, "one")
        await until(lambda: texts(to) == ["one"])
        await session.stop()
        missed = [f"missed {number}" for number in range(250)]
        say(town, source, *missed)
        again = stage.session(account, (source, to, "copy"), cursors=stage.commit(session))
        await again.start()
        await until(lambda: len(texts(to)) == 251)
        assert texts(to) == ["one", *missed]
        await again.stop()

    play(story, log_limit=20)


def test_a_cut_connection_loses_and_doubles_nothing() -> None:
    async def story(town: Town) -> None:
        stage, account, source, to = scene(town)
        session = stage.session(account, (source, to, "copy"))
        await session.start()
        wanted = [f"message {number}" for number in range(200)]
        for number, text in enumerate(wanted):
            say(town, source, text)
            if number % 60 == 30:
                await asyncio.sleep(0.01)
                town.server.connections.drop(account.id)
        await until(lambda: len(texts(to)) >= 200)
        assert texts(to) == wanted
        await session.stop()

    play(story)


def test_a_flood_wait_holds_up_only_its_own_destination() -> None:
    async def story(town: Town) -> None:
        stage, account, source, slow = scene(town)
        quick = town.channel(posters=(account,))
        session = stage.session(account, (source, slow, "copy"), (source, quick, "copy"))
        await session.start()
        town.server.faults.add_flood(account.id, slow.marked, 2.0)
        say(town, source, "one", "two", "three")
        await until(lambda: texts(quick) == ["one", "two", "three"])
        assert texts(slow) == []
        cursor = stage.commit(session)[f"channel:{source.id}"]
        assert cursor == "1", "the cursor waits for the slow destination"
        await until(lambda: texts(slow) == ["one", "two", "three"])
        await until(lambda: stage.commit(session)[f"channel:{source.id}"] == "4")
        await session.stop()

    play(story)


def test_a_destination_that_refuses_is_reported_and_holds_up_nothing() -> None:
    async def story(town: Town) -> None:
        stage, account, source, to = scene(town)
        closed = town.channel(account)
        session = stage.session(account, (source, closed, "copy"), (source, to, "copy"))
        await session.start()
        say(town, source, "one")
        await until(lambda: stage.troubles and texts(to))
        assert "ChatWriteForbidden" in stage.troubles[0]
        await until(lambda: stage.commit(session)[f"channel:{source.id}"] == "2")
        await session.stop()

    play(story)


def test_chats_that_forward_to_each_other_do_not_loop() -> None:
    async def story(town: Town) -> None:
        account = town.server.world.add_account()
        one, two = town.channel(posters=(account,)), town.channel(posters=(account,))
        session = Stage(town).session(account, (one, two, "copy"), (two, one, "copy"))
        await session.start()
        say(town, one, "from one")
        say(town, two, "from two")
        await until(lambda: len(texts(one)) == len(texts(two)) == 2)
        await asyncio.sleep(0.05)
        assert sorted(texts(one)) == sorted(texts(two)) == ["from one", "from two"]
        await session.stop()

    play(story)


def test_a_chat_that_the_account_does_not_know_is_a_reason_not_to_start() -> None:
    async def story(town: Town) -> None:
        stage, account, source, _to = scene(town)
        session = stage.session(account, (source, "@nobody_here", "copy"))
        with pytest.raises(StartError, match="@nobody_here"):
            await session.start()
        await until(lambda: not town.server.connections)

    play(story)


def test_a_revoked_login_ends_the_session_at_once() -> None:
    async def story(town: Town) -> None:
        stage, account, source, to = scene(town)
        session = stage.session(account, (source, to, "copy"))
        await session.start()
        for key in town.server.keys.values():
            key.revoked = True
        say(town, source, "never copied")
        await until(lambda: stage.lost)
        assert isinstance(stage.lost[0], errors.AuthKeyDuplicatedError)
        await session.stop()
        assert not town.server.connections

    play(story)


def test_without_a_lease_not_a_byte_is_written() -> None:
    async def story(town: Town) -> None:
        stage, account, source, to = scene(town)
        session = stage.session(account, (source, to, "copy"))
        await session.start()
        before = town.server.api.requests
        stage.may_write = False
        say(town, source, "one", "two")
        await until(lambda: not town.server.connections)
        await asyncio.sleep(0.3)
        assert town.server.api.requests == before
        assert texts(to) == []
        await session.stop()

    play(story)
