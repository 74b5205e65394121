"""Rules name topics of forums, as sources and as destinations."""

from __future__ import annotations

from typing import Any

import pytest
from support.following import settled
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import SessionHarness, one_rule, say, texts

from afx.reasons import DeadReason, TroubleReason
from afx.sandbox.judge.flow import delete, edit
from afx.sandbox.telegram.peers import Account, Channel, Topic

ALERTS = {"options": {"alerts": {"when": {"words": ["acme"]}}}}


def forum(sandbox: SandboxHarness, *members: Account) -> tuple[Channel, int, int]:
    """Return a forum with two topics, and their ids."""
    world = sandbox.server.world
    made = world.add_channel("forum", forum=True, members=[it.id for it in members])
    ids = []
    for title in ("News", "Talk"):
        message, _ = world.post(made, 0, title)
        assert made.topics is not None
        made.topics[message.id] = Topic(message.id, title, 0, message.date)
        ids.append(message.id)
    return made, ids[0], ids[1]


def put(sandbox: SandboxHarness, source: Channel, text: str, **fields: Any) -> int:
    message, event = sandbox.server.world.post(source, 0, text, **fields)
    sandbox.server.pushes.channel_event(source, event, message)
    return message.id


def photo(sandbox: SandboxHarness, name: str) -> Any:
    return sandbox.server.world.files.add(name.encode(), is_photo=True)


def lying(channel: Channel, ids: tuple[int, int]) -> dict[str, tuple[int, str]]:
    """Return the topic of each message that a test has put there, and what it answers."""
    them = channel.box.messages
    return {
        it.text: (it.topic, them[it.reply_to].text if it.reply_to else "")
        for it in them.values()
        if it.id not in ids
    }


def test_only_messages_of_the_named_topics_are_copied() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, _, to = one_rule(sandbox)
        source, news, talk = forum(sandbox, account)
        other = sandbox.channel(posters=(account,))
        name = str(source.marked)
        session = harness.session(
            account,
            (f"{name}/{news}", to, "copy"),
            ((f"{name}/1", f"{name}/{talk}"), other, "forward"),
        )
        await session.start()
        first = put(sandbox, source, "news", topic=news)
        put(sandbox, source, "an answer", topic=news, reply_to=first)
        put(sandbox, source, "talk", topic=talk)
        general = put(sandbox, source, "in General")
        put(sandbox, source, "answer in General", reply_to=general)
        put(sandbox, source, "a", media=photo(sandbox, "a"), grouped=7, topic=news)
        put(sandbox, source, "b", media=photo(sandbox, "b"), grouped=7, topic=news)
        put(sandbox, source, "last", topic=news)
        await until(lambda: len(texts(to)) == 5 and len(texts(other)) == 3)
        assert texts(to) == ["news", "an answer", "a", "b", "last"]
        assert texts(other) == ["talk", "in General", "answer in General"]
        assert not session.rule_troubles and not harness.dead
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize("mode", ["copy", "forward"])
def test_copies_of_all_kinds_lie_in_the_topic_of_the_destination(mode: str) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, _ = one_rule(sandbox)
        to, news, talk = forum(sandbox, account)
        session = harness.session(account, (source, f"{to.marked}/{talk}", mode))
        await session.start()
        first = put(sandbox, source, "first")
        put(sandbox, source, "an answer", reply_to=first)
        put(sandbox, source, "a photo", media=photo(sandbox, "p"))
        put(sandbox, source, "a photo that answers", media=photo(sandbox, "q"), reply_to=first)
        for name in ("a", "b"):
            put(sandbox, source, name, media=photo(sandbox, name), grouped=7)
        put(sandbox, source, "last")
        await until(lambda: len(texts(to)) == 2 + 7)
        answers = "first" if mode == "copy" else ""
        assert lying(to, (news, talk)) == {
            "first": (talk, ""),
            "an answer": (talk, answers),
            "a photo": (talk, ""),
            "a photo that answers": (talk, answers),
            "a": (talk, ""),
            "b": (talk, ""),
            "last": (talk, ""),
        }
        assert list(lying(to, (news, talk))) == texts(to)[2:]
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize("mode", ["copy", "forward"])
def test_general_is_a_topic_as_others_are(mode: str) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, _ = one_rule(sandbox)
        to, *topics = forum(sandbox, account)
        session = harness.session(account, (source, f"{to.marked}/1", mode))
        await session.start()
        first = put(sandbox, source, "first")
        put(sandbox, source, "an answer", reply_to=first)
        await until(lambda: len(texts(to)) == 4)
        found = lying(to, (topics[0], topics[1]))
        assert [it[0] for it in found.values()] == [0, 0]
        await session.stop()

    run_scenario(scenario)


def test_one_topic_is_copied_to_another_one_of_its_forum_and_not_back() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        harness = SessionHarness(sandbox)
        chat, news, talk = forum(sandbox, account)
        session = harness.session(
            account,
            (f"{chat.marked}/{news}", f"{chat.marked}/{talk}", "copy"),
            (f"{chat.marked}/{talk}", f"{chat.marked}/{news}", "copy"),
        )
        await session.start()
        for text in ("one", "two"):
            put(sandbox, chat, text, topic=news)
        put(sandbox, chat, "back", topic=talk)
        await until(lambda: len(texts(chat)) == 2 + 6)
        await session.stop()
        cursors = harness.commit(session)
        again = harness.session(
            account,
            (f"{chat.marked}/{news}", f"{chat.marked}/{talk}", "copy"),
            (f"{chat.marked}/{talk}", f"{chat.marked}/{news}", "copy"),
            cursors=cursors,
        )
        await again.start()
        put(sandbox, chat, "three", topic=news)
        await until(lambda: texts(chat).count("three") == 2)
        await again.stop()
        messages = [(it.text, it.topic) for it in chat.box.messages.values()][2:]
        assert sorted(messages) == sorted(
            (text, topic) for text in ("one", "two", "back", "three") for topic in (news, talk)
        )

    run_scenario(scenario)


def test_what_a_closed_topic_refuses_is_a_dead_letter_and_others_of_its_forum_go_on() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, _ = one_rule(sandbox)
        to, news, talk = forum(sandbox, account)
        assert to.topics is not None
        session = harness.session(
            account,
            (source, f"{to.marked}/{news}", "copy"),
            (source, f"{to.marked}/{talk}", "forward"),
        )
        await session.start()
        to.topics[news].closed = True
        say(sandbox, source, "one", "two")
        await until(lambda: len(texts(to)) == 4)
        await until(lambda: len(harness.troubles) == 2)
        harness.commit(session)
        [dead] = harness.dead
        assert (dead.reason, dead.error) == (DeadReason.MESSAGE_REFUSED, "TOPIC_CLOSED")
        assert (dead.rule, dead.messages) == (1, (1, 2))
        to.topics[news].closed = False
        await session.redeliver(1, source.marked, to.marked, dead.messages)
        await until(lambda: len(texts(to)) == 6)
        assert [(it.text, it.topic) for it in to.box.messages.values()][2:] == [
            *(("one", talk), ("two", talk)),
            *(("one", news), ("two", news)),
        ]
        del to.topics[news]
        to.deleted_topics.add(news)
        say(sandbox, source, "three")
        await until(lambda: len(harness.troubles) == 3)
        harness.commit(session)
        assert harness.dead[-1].error == "TOPIC_DELETED"
        await session.stop()

    run_scenario(scenario)


def test_what_waits_is_sent_to_its_topic_after_a_restart_and_copies_follow() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, _ = one_rule(sandbox)
        to, news, talk = forum(sandbox, account)
        rule = (source, f"{to.marked}/{talk}", "copy", {"sync": ("edits", "deletes")})
        session = harness.session(account, rule)
        await session.start()
        to.banned.add(account.id)
        first = put(sandbox, source, "first")
        put(sandbox, source, "second", reply_to=first)
        await until(lambda: session.forwarder.outboxes.has(to.marked))
        await session.stop()
        to.banned.clear()
        session = harness.session(account, rule, cursors=harness.commit(session))
        await session.start()
        await until(lambda: len(texts(to)) == 4)
        assert lying(to, (news, talk)) == {"first": (talk, ""), "second": (talk, "first")}
        edit(sandbox.server, source.marked, 0, first, "changed")
        await until(lambda: "changed" in texts(to))
        delete(sandbox.server, source.marked, 0, [first])
        await until(lambda: "changed" not in texts(to))
        await session.stop()

    run_scenario(scenario)


def test_two_destinations_in_one_forum_are_told_and_the_first_one_counts() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, _ = one_rule(sandbox)
        to, news, talk = forum(sandbox, account)
        session = harness.session(
            account, (source, (f"{to.marked}/{talk}", f"{to.marked}/{news}"), "copy")
        )
        await session.start()
        assert session.rule_troubles[1].reason is TroubleReason.RULE_INVALID
        say(sandbox, source, "one")
        await until(lambda: len(texts(to)) == 3)
        assert lying(to, (news, talk)) == {"one": (talk, "")}
        await session.stop()

    run_scenario(scenario)


def test_alerts_of_a_topic_tell_of_messages_of_that_topic_only() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, _, to = one_rule(sandbox)
        source, news, talk = forum(sandbox, account)
        rule = (f"{source.marked}/{news}", to, "copy", ALERTS)
        session = harness.session(account, rule)
        await session.start()
        put(sandbox, source, "acme, elsewhere", topic=talk)
        told = put(sandbox, source, "news of acme", topic=news)
        await until(lambda: texts(to) == ["news of acme"])
        await settled(session, source)
        assert [it.message for it in session.collect_uncommitted().alerts] == [told]
        await session.stop()

    run_scenario(scenario)
