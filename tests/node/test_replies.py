"""The copy of an answer answers the copy of what its message answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, SessionHarness, one_rule, texts
from telethon.tl import functions

from afx.node.made_links import MadeLinks
from afx.sandbox.telegram.peers import Channel


def put(sandbox: SandboxHarness, source: Channel, text: str, **fields: Any) -> int:
    message, event = sandbox.server.world.post(source, 0, text, **fields)
    sandbox.server.pushes.channel_event(source, event, message)
    return message.id


def photo(sandbox: SandboxHarness, name: str) -> Any:
    return sandbox.server.world.files.add(name.encode(), is_photo=True)


def answered(channel: Channel) -> dict[str, str | None]:
    """Return what each message of a channel answers."""
    them = channel.box.messages
    return {it.text: them[it.reply_to].text if it.reply_to else None for it in them.values()}


def restarted(harness: SessionHarness, account: Any, *rule: Any) -> Any:
    return harness.session(account, rule, cursors=harness.progress)


def test_answers_in_one_burst_and_to_what_an_earlier_run_has_copied_are_kept() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        put(sandbox, source, "before the rule")
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        first = put(sandbox, source, "first")
        second = put(sandbox, source, "second", reply_to=first)
        put(sandbox, source, "third", reply_to=second)
        put(sandbox, source, "a photo", reply_to=first, media=photo(sandbox, "p"))
        put(sandbox, source, "to what has no copy", reply_to=1)
        await until(lambda: len(texts(to)) == 5)
        await session.stop()
        harness.commit(session)
        session = restarted(harness, account, source, to, "copy")
        await session.start()
        put(sandbox, source, "later", reply_to=second)
        await until(lambda: len(texts(to)) == 6)
        assert answered(to) == {
            "first": None,
            "second": "first",
            "third": "second",
            "a photo": "first",
            "to what has no copy": None,
            "later": "second",
        }
        await session.stop()

    run_scenario(scenario)


def test_an_album_that_answers_stays_one_album() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        first = put(sandbox, source, "first")
        for name in ("a", "b"):
            media = photo(sandbox, name)
            put(sandbox, source, name, reply_to=first, media=media, grouped=7)
        await until(lambda: len(texts(to)) == 3)
        assert answered(to) == {"first": None, "a": "first", "b": "first"}
        assert len({it.grouped for it in to.box.messages.values() if it.media}) == 1
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize("rule", [("forward",), ("copy", {"options": {"replies": False}})])
def test_forwards_and_rules_that_say_so_answer_nothing(rule: Any) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, *rule))
        await session.start()
        first = put(sandbox, source, "first")
        put(sandbox, source, "second", reply_to=first)
        await until(lambda: len(texts(to)) == 2)
        assert answered(to) == {"first": None, "second": None}
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize("name", ["REPLY_MESSAGE_ID_INVALID", "MESSAGE_ID_INVALID"])
def test_an_answer_to_a_copy_that_is_gone_is_sent_without_it_and_in_order(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        first = put(sandbox, source, "first")
        await until(lambda: texts(to) == ["first"])
        request = functions.messages.SendMessageRequest
        asked = RefusingHandler(monkeypatch, request, (400, name))
        put(sandbox, source, "second", reply_to=first)
        put(sandbox, source, "third")
        await until(lambda: len(texts(to)) == 3)
        assert texts(to) == ["first", "second", "third"]
        assert answered(to)["second"] is None
        assert [it.reply_to is None for it in asked.requests][:2] == [False, True]
        assert not harness.dead and not harness.troubles
        await session.stop()

    run_scenario(scenario)


def test_a_message_of_a_topic_answers_nothing_unless_it_is_an_answer() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, _, to = one_rule(sandbox)
        forum = sandbox.server.world.add_channel("Forum", members=(account.id,), forum=True)
        session = harness.session(account, (forum, to, "copy"))
        await session.start()
        first = put(sandbox, forum, "first", topic=3)
        put(sandbox, forum, "second", topic=3, reply_to=first)
        await until(lambda: len(texts(to)) == 2)
        assert answered(to) == {"first": None, "second": "first"}
        await session.stop()

    run_scenario(scenario)


def test_an_item_that_comes_while_a_parent_is_looked_for_settles_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        first = put(sandbox, source, "first")
        await until(lambda: texts(to) == ["first"])
        blocks = harness.links.blocks
        asked = asyncio.Event()

        async def slow(names: Sequence[str]) -> list[bytes | None]:
            asked.set()
            await until(lambda: len(session.forwarder.lanes[to.marked]) == 3)
            return await blocks(names)

        monkeypatch.setattr(MadeLinks, "copies_of", lambda *_: {})
        monkeypatch.setattr(harness.links, "blocks", slow)
        put(sandbox, source, "a", media=photo(sandbox, "a"), grouped=7)
        put(sandbox, source, "answer", reply_to=first)
        await asked.wait()
        put(sandbox, source, "b", media=photo(sandbox, "b"), grouped=7)
        await until(lambda: len(texts(to)) == 4)
        assert sorted(texts(to)) == ["a", "answer", "b", "first"]
        await session.stop()
        progress = session.collect_uncommitted()
        by_copy = {it.copy: it.delivery.message for it in progress.links}
        named = {it.id: it.text for it in to.box.messages.values()}
        said = {it.id: it.text for it in source.box.messages.values()}
        assert {named[copy]: said[it] for copy, it in by_copy.items()} == {
            it: it for it in texts(to)
        }

    run_scenario(scenario)
