"""A rule that reads messages anew judges and sends them as they are by then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from support.following import settled
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import SessionHarness, one_rule, say, texts

from afx.forwarding.options import compile_options, sentences
from afx.node.session import HostedSession
from afx.sandbox.judge.flow import delete, edit
from afx.sandbox.telegram.peers import Channel

HOUR = {"reread": 3_600}


class Times:
    """Lets the wall clock of sessions go ahead."""

    def __init__(self, harness: SessionHarness) -> None:
        self.ahead = 0.0
        clock = harness.clock
        harness.clock = replace(clock, time=lambda: clock.time() + self.ahead)

    def pass_an_hour(self, session: HostedSession) -> None:
        self.ahead += 3_601.0
        session.forwarder.later._turn()


def put(sandbox: SandboxHarness, source: Channel, text: str, **fields: Any) -> int:
    message, event = sandbox.server.world.post(source, 0, text, **fields)
    sandbox.server.pushes.channel_event(source, event, message)
    return message.id


async def sent(session: HostedSession, to: Channel) -> None:
    """Wait until nothing waits for a destination any more."""
    outboxes, later = session.forwarder.outboxes, session.forwarder.later
    await until(lambda: not later.next_due() and not outboxes.has(to.marked))


def test_the_filter_and_the_transforms_see_what_a_message_is_when_it_is_read_anew() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        times = Times(harness)
        more = {"filter": {"contains": ["good"]}, "transform": ({"footer": "x"},), "options": HOUR}
        session = harness.session(account, (source, to, "copy", more))
        await session.start()
        say(sandbox, source, "good 1", "bad 2", "good 3", "good 4", "bad 5")
        edit(sandbox.server, source.marked, 0, 2, "good 2")
        edit(sandbox.server, source.marked, 0, 3, "bad 3")
        edit(sandbox.server, source.marked, 0, 4, "good 4, corrected")
        edit(sandbox.server, source.marked, 0, 4, "good 4, corrected again")
        await settled(session, source)
        assert not texts(to)
        times.pass_an_hour(session)
        await sent(session, to)
        assert texts(to) == ["good 1\nx", "good 2\nx", "good 4, corrected again\nx"]
        edit(sandbox.server, source.marked, 0, 1, "good 1, too late")
        await session.stop()
        harness.commit(session)
        assert texts(to)[0] == "good 1\nx" and not harness.dead

    run_scenario(scenario)


def test_what_is_deleted_before_is_no_dead_letter_and_a_restart_keeps_time_and_order() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        times = Times(harness)
        rule = (source, to, "copy", {"filter": {"contains": ["good"]}, "options": HOUR})
        session = harness.session(account, rule)
        await session.start()
        say(sandbox, source, "good 1", "good 2", "bad 3", "good 4")
        await settled(session, source)
        await session.stop()
        stored = harness.commit(session)
        assert any(it.startswith("later:s1") for it in stored)
        delete(sandbox.server, source.marked, 0, [2])
        edit(sandbox.server, source.marked, 0, 3, "good 3")
        session = harness.session(account, rule, cursors=stored)
        await session.start()
        put(sandbox, source, "good 5")
        await settled(session, source)
        assert not texts(to)
        times.pass_an_hour(session)
        await sent(session, to)
        assert texts(to) == ["good 1", "good 3", "good 4", "good 5"]
        await session.stop()
        harness.commit(session)
        assert not harness.dead and not harness.troubles

    run_scenario(scenario)


def test_what_was_missed_for_longer_is_judged_and_sent_at_once_in_order() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        times = Times(harness)
        rule = (source, to, "copy", {"filter": {"contains": ["good"]}, "options": HOUR})
        session = harness.session(account, rule)
        await session.start()
        await session.stop()
        say(sandbox, source, "good 1", "bad 2", "good 3")
        times.ahead = 7_200.0
        session = harness.session(account, rule, cursors=harness.commit(session))
        await session.start()
        await until(lambda: texts(to) == ["good 1", "good 3"])
        await sent(session, to)
        await session.stop()
        harness.commit(session)
        assert not harness.dead and texts(to) == ["good 1", "good 3"]

    run_scenario(scenario)


def test_a_content_is_a_duplicate_by_what_messages_are_when_they_are_read_anew() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        times = Times(harness)
        rule = (source, to, "copy", {"options": {**HOUR, "dedupe": 86_400}})
        session = harness.session(account, rule)
        await session.start()
        say(sandbox, source, "one", "one", "two")
        edit(sandbox.server, source.marked, 0, 2, "uno")
        edit(sandbox.server, source.marked, 0, 3, "uno")
        await settled(session, source)
        times.pass_an_hour(session)
        await sent(session, to)
        assert texts(to) == ["one", "uno"]
        await session.stop()

    run_scenario(scenario)


def test_an_album_stays_whole_and_is_judged_by_its_newest_caption() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        times = Times(harness)
        rule = (source, to, "copy", {"filter": {"contains": ["good"]}, "options": HOUR})
        session = harness.session(account, rule)
        await session.start()
        files = sandbox.server.world.files
        for album, captions in ((7, ("bad a", "")), (8, ("good b", "")), (9, ("good c", ""))):
            for number, text in enumerate(captions):
                media = files.add(f"{album}-{number}".encode(), is_photo=True)
                put(sandbox, source, text, media=media, grouped=album)
        edit(sandbox.server, source.marked, 0, 1, "good a")
        edit(sandbox.server, source.marked, 0, 3, "bad b")
        await settled(session, source)
        times.pass_an_hour(session)
        await sent(session, to)
        assert texts(to) == ["good a", "", "good c", ""]
        assert len({it.grouped for it in to.box.messages.values()}) == 2
        await session.stop()

    run_scenario(scenario)


def test_what_the_filter_refuses_then_uses_none_of_a_cap() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        times = Times(harness)
        options = {**HOUR, "caps": {"per_day": 2}}
        rule = (source, to, "copy", {"filter": {"contains": ["good"]}, "options": options})
        session = harness.session(account, rule)
        await session.start()
        say(sandbox, source, *(f"bad {it}" for it in range(5)), "good 1", "good 2", "good 3")
        delete(sandbox.server, source.marked, 0, [1])
        await settled(session, source)
        later = session.forwarder.later
        times.pass_an_hour(session)
        await until(lambda: later._turn() or texts(to) == ["good 1", "good 2"])
        await until(lambda: not session.forwarder.outboxes.has(to.marked))
        later._turn()
        assert later.next_due(), "the third one waits for the next day"
        await session.stop()
        stored = harness.commit(session)
        session = harness.session(account, rule, cursors=stored)
        await session.start()
        session.forwarder.later._turn()
        await settled(session, source)
        assert texts(to) == ["good 1", "good 2"] and session.forwarder.later.next_due()
        await session.stop()

    run_scenario(scenario)


def test_what_waits_is_sent_at_once_and_judged_by_the_rule_as_it_is_when_it_reads_no_more() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        rule = (source, to, "copy", {"filter": {"contains": ["good"]}, "options": HOUR})
        session = harness.session(account, rule)
        await session.start()
        say(sandbox, source, "good", "bad")
        await settled(session, source)
        [spec] = session.spec.rules
        session.renew([replace(spec, filter={"contains": ["bad"]}, options={})])
        await until(lambda: texts(to) == ["bad"])
        await sent(session, to)
        say(sandbox, source, "bad, too")
        await until(lambda: texts(to) == ["bad", "bad, too"])
        await session.stop()

    run_scenario(scenario)


def test_the_option_is_a_time_and_is_said_in_words() -> None:
    assert compile_options(HOUR).hold == 3_600
    assert compile_options({"reread": 60, "delay": 300}).hold == 300
    assert "read anew 1h after it was posted" in sentences(HOUR)[0]


def test_an_album_is_judged_by_the_caption_that_it_has_when_it_is_read_anew() -> None:
    """Another rule has judged it by the one that it came with."""

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        later = sandbox.channel(posters=(account,))
        times = Times(harness)
        good = {"filter": {"contains": ["good"]}}
        rules = (source, to, "copy", good), (source, later, "copy", {**good, "options": HOUR})
        session = harness.session(account, *rules)
        await session.start()
        files = sandbox.server.world.files
        for caption in ("good album", "", ""):
            photo = files.add(b"photo", is_photo=True)
            put(sandbox, source, caption, media=photo, grouped=5)
        put(sandbox, source, "good 3")
        await until(lambda: len(texts(to)) == 4)
        await settled(session, source)
        edit(sandbox.server, source.marked, 0, 1, "")
        await settled(session, source)
        times.pass_an_hour(session)
        await sent(session, later)
        await until(lambda: texts(later)[-1:] == ["good 3"])
        assert texts(later) == ["good 3"]
        await session.stop()
        harness.commit(session)
        assert not harness.dead

    run_scenario(scenario)
