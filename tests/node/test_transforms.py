"""A hosted session changes its copies as its rules say; the ledger knows what they must say."""

from __future__ import annotations

import pytest
from support.footers import FOOTER, photo, publish
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import one_rule, say, texts
from telethon.tl import types

from afx.sandbox.telegram.boxes import Content


def test_copies_say_what_the_transforms_make_of_their_sources() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)

        def expected(it: Content) -> Content:
            # The bold word is behind a surrogate pair and a space more than in its source.
            return Content(f"😀 new w{it.text[5:]}", [types.MessageEntityBold(7, 4)], None)

        ledger = sandbox.server.ledger
        ledger.expect(source.marked, to.marked, account.id, expected)
        transform = ({"replace": {"text": ["old"], "with": "😀 new"}},)
        session = harness.session(account, (source, to, "copy", {"transform": transform}))
        await session.start()
        for number in range(120):
            bold = [types.MessageEntityBold(4, 4)]
            publish(sandbox, source, f"old w{number:03}", entities=bold)
        await until(lambda: len(texts(to)) == 120)
        verdict = ledger.judge()
        assert verdict.is_clean and verdict.strange == 0, ledger.altered(1)
        await session.stop()

    run_scenario(scenario)


def test_a_line_with_a_link_behind_its_words_arrives_with_it() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)

        def expected(it: Content) -> Content:
            link = f"https://t.me/c/{source.id}/1"
            entities = [types.MessageEntityBold(0, 2), types.MessageEntityTextUrl(6, 4, link)]
            return it._replace(text=f"😀 {it.text}\nMore", entities=entities)

        sandbox.server.ledger.expect(source.marked, to.marked, account.id, expected)
        transform = ({"text": {"markdown": "**😀** {text}\n[More]({link})"}},)
        session = harness.session(account, (source, to, "copy", {"transform": transform}))
        await session.start()
        publish(sandbox, source, "ab")
        await until(lambda: texts(to) == ["😀 ab\nMore"])
        verdict = sandbox.server.ledger.judge()
        assert verdict.is_clean and verdict.strange == 0, sandbox.server.ledger.altered(1)
        await session.stop()

    run_scenario(scenario)


def test_a_replay_makes_the_same_copies_and_doubles_none() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)

        def expected(it: Content) -> Content:
            return it._replace(text=f"{it.text}\nby {numbers[it.text]}")

        numbers: dict[str, int] = {}
        sandbox.server.ledger.expect(source.marked, to.marked, account.id, expected)
        session = harness.session(account, (source, to, "copy", FOOTER))
        await session.start()
        cursors = harness.commit(session)
        for number in range(30):
            text = f"message {number}"
            numbers[text] = publish(sandbox, source, text)
        await until(lambda: len(texts(to)) == 30)
        await session.stop()  # and nothing of it is committed
        session = harness.session(account, (source, to, "copy", FOOTER), cursors=cursors)
        await session.start()
        numbers["last"] = publish(sandbox, source, "last")
        await until(lambda: any(it.startswith("last") for it in texts(to)))
        verdict = sandbox.server.ledger.judge()
        assert verdict.is_clean and verdict.strange == 0 and verdict.expected == 31, verdict
        await session.stop()

    run_scenario(scenario)


def test_what_transforms_leave_nothing_of_is_not_sent_and_reported() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        rule = {"transform": ({"strip": ["links"]},)}
        session = harness.session(account, (source, to, "copy", rule))
        await session.start()
        link = "https://example.org"
        publish(sandbox, source, link, entities=[types.MessageEntityUrl(0, len(link))])
        say(sandbox, source, "more")
        await until(lambda: texts(to) == ["more"])
        assert ["leave nothing of it" in it for it in harness.troubles] == [True]
        box = session.reader.channels[source.id]
        await until(lambda: box.cursor == source.box.pts)
        await session.stop()

    run_scenario(scenario)


def test_what_has_waited_in_an_outbox_is_changed_when_it_is_sent() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        sandbox.server.faults.add_flood(account.id, to.marked, 40)
        session = harness.session(account, (source, to, "copy", FOOTER))
        await session.start()
        numbers = [publish(sandbox, source, "a text")]
        numbers.append(publish(sandbox, source, "a photo", media=photo(sandbox)))
        await until(lambda: session.forwarder.outboxes.has(to.marked))
        await session.stop()
        cursors = harness.commit(session)
        sandbox.server.faults.floods.clear()
        cursors = {it: value for it, value in cursors.items() if not it.startswith("wait")}
        session = harness.session(account, (source, to, "copy", FOOTER), cursors=cursors)
        await session.start()
        await until(lambda: len(texts(to)) == 2)
        assert texts(to) == [f"a text\nby {numbers[0]}", f"a photo\nby {numbers[1]}"]
        await session.stop()

    run_scenario(scenario)


def test_a_message_that_transforms_fail_on_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> str:
        raise RuntimeError

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        other = sandbox.channel(posters=(account,))
        session = harness.session(account, (source, to, "copy", FOOTER), (source, other, "copy"))
        await session.start()
        with monkeypatch.context() as patch:
            patch.setattr("afx.forwarding.templates.value", fail)
            say(sandbox, source, "one")
            await until(lambda: texts(other) == ["one"])
        number = publish(sandbox, source, "two")
        await until(lambda: texts(to) == [f"two\nby {number}"])
        assert any("transforms failed" in it for it in harness.troubles)
        await session.stop()

    run_scenario(scenario)
