"""What no request can be made of is a dead letter, and holds up nothing beside it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.following import ALL, settled
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import one_rule, say, texts
from telethon.tl import types

from afx.node.lane import Lane
from afx.node.outputs import Outputs
from afx.reasons import DeadReason
from afx.sandbox.judge.flow import edit
from afx.sandbox.telegram.peers import Channel
from afx.telegram import change_sender, sender
from afx.telegram.peers import Peers

UNSENDABLE: Any = types.MessageEntityTextUrl(0, 3, url=7)


@pytest.fixture(autouse=True)
def _bad_has_what_cannot_be_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What says "bad" has an entity that Telethon cannot encode, as an edit too."""
    before = sender._entities
    monkeypatch.setattr(
        sender, "_entities", lambda it: [UNSENDABLE] if "bad" in it.text else before(it)
    )
    request = change_sender._request

    def made(group: Any, peer: Any) -> Any:
        found = request(group, peer)
        if "bad" in group[0].text:
            found.entities = [UNSENDABLE]
        return found

    monkeypatch.setattr(change_sender, "_request", made)


def publish(sandbox: SandboxHarness, source: Channel, *captions: str) -> None:
    world = sandbox.server.world
    for number, caption in enumerate(captions):
        media = world.files.add(f"{number} {caption}".encode(), is_photo=True)
        message, event = world.post(source, 0, caption, media=media, grouped=5)
        sandbox.server.pushes.channel_event(source, event, message)


def test_a_message_that_cannot_be_encoded_is_a_dead_letter_and_the_others_keep_their_order() -> (
    None
):
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "one", "bad", "two", "bad again", "three")
        await until(lambda: texts(to) == ["one", "two", "three"])
        await settled(session, source)
        await session.stop()
        harness.commit(session)
        [dead] = harness.dead
        assert (dead.reason, list(dead.messages)) == (
            DeadReason.MESSAGE_REFUSED,
            [2, 4],
        )
        assert "no request can be made of it" in harness.troubles[0]
        assert "bad" not in " ".join(harness.troubles)

    run_scenario(scenario)


def test_the_others_of_its_album_are_sent_as_an_album() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        rule = (source, to, "copy", {"transform": ({"footer": "!"},)})
        session = harness.session(account, rule)
        await session.start()
        publish(sandbox, source, "a", "bad", "c")
        say(sandbox, source, "behind it")
        await until(lambda: len(texts(to)) == 3)
        await settled(session, source)
        one, other, last = to.box.messages.values()
        assert (one.text, other.text, last.text) == ("a\n!", "c\n!", "behind it\n!")
        assert one.grouped == other.grouped != 0
        await session.stop()
        harness.commit(session)
        assert [len(it.messages) for it in harness.dead] == [1]

    run_scenario(scenario)


def test_an_edit_that_cannot_be_encoded_holds_up_no_other_change() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy", ALL))
        await session.start()
        say(sandbox, source, "one", "two")
        await until(lambda: len(texts(to)) == 2)
        edit(sandbox.server, source.marked, 0, 1, "bad")
        edit(sandbox.server, source.marked, 0, 2, "zwei")
        await until(lambda: texts(to) == ["one", "zwei"])
        await settled(session, source)
        await session.stop()
        harness.commit(session)
        assert [it.reason for it in harness.dead] == [DeadReason.EDIT_REFUSED]

    run_scenario(scenario)


def test_a_lane_whose_chat_is_forgotten_waits_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        known = Peers.input_peer

        def unknown(peers: Peers, chat: int) -> Any:
            if chat == to.marked:
                raise ValueError
            return known(peers, chat)

        monkeypatch.setattr(Peers, "input_peer", unknown)
        say(sandbox, source, "one", "two")
        await until(lambda: harness.troubles)
        monkeypatch.undo()
        session.forwarder.try_again(to.marked)
        await until(lambda: texts(to) == ["one", "two"])
        await session.stop()
        harness.commit(session)
        assert not harness.dead

    run_scenario(scenario)


def test_an_error_after_the_requests_have_left_is_no_dead_letter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They may have arrived: they are sent again under their random ids, each once."""

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        run, failures = session.client.run_in_order, [ValueError("unknown constructor")]

        async def answered(requests: Any, **more: Any) -> Any:
            answers = await run(requests, **more)
            if failures:
                raise failures.pop()
            return answers

        monkeypatch.setattr(type(session.client), "run_in_order", staticmethod(answered))
        monkeypatch.setattr(Lane, "wait", lambda *_: None)
        say(sandbox, source, "one", "two")
        await until(lambda: not failures)
        await until(lambda: texts(to) == ["one", "two"])
        await settled(session, source)
        await asyncio.sleep(0)
        assert texts(to) == ["one", "two"]
        await session.stop()
        harness.commit(session)
        assert not harness.dead

    run_scenario(scenario)


def test_what_cannot_be_told_to_an_output_holds_up_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    from afx.node import outputs

    told = outputs.content_of

    def content(it: Any) -> Any:
        return {"text": object()} if it.text == "bad" else told(it)

    monkeypatch.setattr(outputs, "content_of", content)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, _ = one_rule(sandbox)
        harness.outputs = Outputs(
            directory=str(tmp_path), networks=(), secrets=lambda *_: [], may_write=lambda: True
        )
        session = harness.session(account, (source, "file:log.jsonl", "copy"))
        await session.start()
        say(sandbox, source, "one", "bad", "two")
        await settled(session, source)
        await session.stop()
        harness.commit(session)
        assert (tmp_path / "1" / "log.jsonl").read_text().count("\n") == 2
        assert [len(it.messages) for it in harness.dead] == [1]

    run_scenario(scenario)
