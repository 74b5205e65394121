"""Topics of a source's forum are topics of the destination's (``sync: [topics]``)."""

from __future__ import annotations

from typing import Any

import pytest
from support.forums import change, make, put, remove, shown, titles, topics
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, SessionHarness, texts
from telethon.tl import functions

from afx.node.session import HostedSession
from afx.reasons import DeadReason
from afx.sandbox.scripted import FaultKind, ScriptedFault
from afx.sandbox.telegram.peers import Account, Channel

TOPICS: dict[str, Any] = {"sync": ("topics",)}


def forums(sandbox: SandboxHarness) -> tuple[SessionHarness, Account, Channel, Channel]:
    """Return a harness, an account, a forum that it reads, and one of its own."""
    world = sandbox.server.world
    account = world.add_account()
    source = world.add_channel("source", forum=True, members=[account.id])
    to = world.add_channel("to", forum=True, creator=account.id, members=[account.id])
    return SessionHarness(sandbox), account, source, to


async def settled(session: HostedSession, source: Channel) -> None:
    box = session.reader.channels[source.id]
    await until(lambda: box.cursor == source.box.pts)


@pytest.mark.parametrize("mode", ["copy", "forward"])
def test_topics_are_made_renamed_and_closed_and_messages_lie_in_them(mode: str) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = forums(sandbox)
        old = make(sandbox, source, "Old")
        session = harness.session(account, (source, to, mode, TOPICS))
        await session.start()
        new = make(sandbox, source, "New")
        await until(lambda: titles(to) == [("New", False)])
        put(sandbox, source, "in General")
        first = put(sandbox, source, "in New", new)
        put(sandbox, source, "an answer", new, reply_to=first)
        put(sandbox, source, "in Old", old)
        for name in ("a", "b"):
            media = sandbox.server.world.files.add(name.encode(), is_photo=True)
            put(sandbox, source, name, old, media=media, grouped=5)
        put(sandbox, source, "last")
        await until(lambda: len(shown(to)) == 7)
        assert shown(to) == [
            ("General", "in General"),
            ("New", "in New"),
            ("New", "an answer"),
            ("Old", "in Old"),
            ("Old", "a"),
            ("Old", "b"),
            ("General", "last"),
        ]
        change(sandbox, source, new, title="Newer")
        change(sandbox, source, old, closed=True)
        change(sandbox, source, 1, title="Lobby")
        await until(lambda: titles(to) == [("Newer", False), ("Old", True)])
        await until(lambda: topics(to)[1].title == "Lobby")
        change(sandbox, source, old, closed=False)
        await until(lambda: titles(to) == [("Newer", False), ("Old", False)])
        assert not harness.troubles and not harness.dead
        await session.stop()

    run_scenario(scenario)


def test_a_later_run_knows_the_topics_and_follows_what_it_has_missed() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = forums(sandbox)
        rule = (source, to, "copy", TOPICS)
        session = harness.session(account, rule)
        await session.start()
        new = make(sandbox, source, "New")
        put(sandbox, source, "one", new)
        await until(lambda: shown(to) == [("New", "one")])
        await session.stop()
        cursors = harness.commit(session)
        change(sandbox, source, new, title="Newer")
        put(sandbox, source, "two", new)
        missed = make(sandbox, source, "Missed")
        put(sandbox, source, "three", missed)
        again = harness.session(account, rule, cursors=cursors)
        await again.start()
        await until(lambda: len(shown(to)) == 3)
        assert shown(to) == [("Newer", "one"), ("Newer", "two"), ("Missed", "three")]
        assert len(titles(to)) == 2
        await again.stop()

    run_scenario(scenario)


def test_a_topic_whose_making_got_no_answer_is_made_once() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = forums(sandbox)
        rule = (source, to, "copy", TOPICS)
        session = harness.session(account, rule)
        await session.start()
        cursors = harness.commit(session)
        sandbox.server.faults.script.add(
            ScriptedFault(FaultKind.NO_ANSWER, method="messages.createForumTopic")
        )
        new = make(sandbox, source, "New")
        put(sandbox, source, "one", new)
        await until(lambda: titles(to))
        harness.may_write = False
        await session.stop()
        harness.may_write = True
        again = harness.session(account, rule, cursors=cursors)
        await again.start()
        await until(lambda: shown(to) == [("New", "one")])
        assert titles(to) == [("New", False)]
        await again.stop()

    run_scenario(scenario)


@pytest.mark.parametrize("sync", [("topics",), ("topics", "deletes")])
def test_a_deleted_topic_stays_at_the_destination_and_is_told(sync: tuple[str, ...]) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = forums(sandbox)
        session = harness.session(account, (source, to, "copy", {"sync": sync}))
        await session.start()
        new = make(sandbox, source, "New")
        number = put(sandbox, source, "one", new)
        put(sandbox, source, "two")
        await until(lambda: len(shown(to)) == 2)
        remove(sandbox, source, new)
        await until(lambda: harness.commit(session) and harness.dead)
        await settled(session, source)
        await until(lambda: len(shown(to)) == 2 - ("deletes" in sync))
        harness.commit(session)
        assert titles(to) == [("New", False)]
        reason = DeadReason.DELETE_REFUSED if "deletes" in sync else DeadReason.TOPIC_REFUSED
        [dead] = harness.dead
        assert (dead.reason, dead.messages) == (reason, (new,))
        assert "was deleted at its source" in dead.error and "was deleted" in harness.troubles[0]
        assert number not in dead.messages
        await session.stop()

    run_scenario(scenario)


def test_what_cannot_be_made_is_a_dead_letter_until_the_account_may() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = forums(sandbox)
        to.creator = 0
        to.posters.add(account.id)
        session = harness.session(account, (source, to, "copy", TOPICS))
        await session.start()
        new = make(sandbox, source, "New")
        number = put(sandbox, source, "one", new)
        put(sandbox, source, "two")
        await until(lambda: texts(to) == ["two"])
        await until(lambda: harness.commit(session) and len(harness.dead) == 2)
        made, sent = harness.dead
        assert (made.reason, made.messages) == (DeadReason.TOPIC_REFUSED, (new,))
        assert (sent.reason, sent.messages) == (DeadReason.MESSAGE_REFUSED, (number,))
        assert sent.error == "its topic cannot be made: CHAT_ADMIN_REQUIRED"
        to.creator = account.id
        route = (1, source.marked, to.marked)
        await session.redeliver(*route, [new], reason=DeadReason.TOPIC_REFUSED)
        await until(lambda: titles(to) == [("New", False)])
        await session.redeliver(*route, [number])
        await until(lambda: ("New", "one") in shown(to))
        await session.stop()

    run_scenario(scenario)


def test_what_waits_in_an_outbox_finds_its_topic() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = forums(sandbox)
        session = harness.session(account, (source, to, "copy", TOPICS))
        await session.start()
        put(sandbox, source, "zero")
        await until(lambda: len(shown(to)) == 1)
        sandbox.server.faults.add_flood(account.id, to.marked, 40.0)
        put(sandbox, source, "one")
        await until(lambda: session.forwarder.waits.left(to.marked) > 30)
        new = make(sandbox, source, "New")
        put(sandbox, source, "two", new)
        await until(lambda: session.forwarder.outboxes.has(to.marked))
        await settled(session, source)
        await session.stop()
        cursors = harness.commit(session)
        sandbox.server.faults.floods.clear()
        cursors = {it: value for it, value in cursors.items() if not it.startswith("wait:")}
        again = harness.session(account, (source, to, "copy", TOPICS), cursors=cursors)
        await again.start()
        await until(lambda: len(shown(to)) == 3)
        assert shown(to)[1:] == [("General", "one"), ("New", "two")]
        await again.stop()

    run_scenario(scenario)


def test_two_forums_that_follow_each_other_make_no_topic_twice() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, _, to = forums(sandbox)
        world = sandbox.server.world
        back = world.add_channel("back", forum=True, creator=account.id, members=[account.id])
        rules = (to, back, "copy", TOPICS), (back, to, "copy", TOPICS)
        session = harness.session(account, *rules)
        await session.start()
        one = make(sandbox, to, "One")
        put(sandbox, to, "in One", one)
        two = make(sandbox, back, "Two")
        put(sandbox, back, "in Two", two)
        await until(lambda: len(shown(to)) == len(shown(back)) == 2)
        await session.stop()
        cursors = harness.commit(session)
        again = harness.session(account, *rules, cursors=cursors)
        await again.start()
        put(sandbox, to, "last", one)
        await until(lambda: ("One", "last") in shown(back))
        await settled(again, to)
        await settled(again, back)
        assert sorted(titles(to)) == sorted(titles(back)) == [("One", False), ("Two", False)]
        await again.stop()

    run_scenario(scenario)


def test_rules_of_single_topics_follow_none(monkeypatch: pytest.MonkeyPatch) -> None:
    made = RefusingHandler(monkeypatch, functions.messages.CreateForumTopicRequest)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = forums(sandbox)
        new = make(sandbox, source, "New")
        session = harness.session(account, (f"{source.marked}/{new}", to, "copy", TOPICS))
        await session.start()
        put(sandbox, source, "one", new)
        change(sandbox, source, new, title="Newer")
        await until(lambda: shown(to) == [("General", "one")])
        await settled(session, source)
        assert not made.requests and not harness.troubles
        await session.stop()

    run_scenario(scenario)
