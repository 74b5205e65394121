"""A hosted session meets every kind of message that the sandbox knows."""

from __future__ import annotations

import asyncio

import pytest
from support.raw import input_peer, raw
from support.sandbox import SandboxHarness, run_scenario
from support.sessions import SessionHarness
from telethon.tl import functions, types

from afx.sandbox.telegram.boxes import Media
from afx.sandbox.telegram.methods.input_media import Fixed
from afx.sandbox.telegram.polls import Poll


def words(text: str) -> types.TextWithEntities:
    return types.TextWithEntities(text, [])


def media(sandbox: SandboxHarness) -> list[Media]:
    """Return one of each kind."""
    answers = [types.PollAnswer(words(it), it.encode()) for it in ("tea", "coffee")]
    point = types.GeoPoint(13.4, 52.5, 0)
    return [
        sandbox.server.world.files.add(b"photo", is_photo=True),
        Poll(words("Tea or coffee?"), answers),
        Fixed(types.MessageMediaContact("4930", "Ada", "Lovelace", "", 0)),
        Fixed(types.MessageMediaGeo(point)),
        Fixed(types.MessageMediaVenue(point, "Café", "Street 1", "", "", "")),
        Fixed(types.MessageMediaDice(6, "🎲")),
    ]


@pytest.mark.parametrize("mode", ["copy", "forward"])
def test_each_kind_of_message_is_copied_unaltered(mode: str) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world, pushes = sandbox.server.world, sandbox.server.pushes
        account, owner = world.add_account(), world.add_account()
        source = world.add_channel("source", creator=owner.id, forum=True, members=[account.id])
        to = sandbox.channel(posters=(account,))
        sandbox.server.ledger.expect(source.marked, to.marked, account.id)
        harness = SessionHarness(sandbox)
        session = harness.session(account, (source, to, mode))
        await session.start()
        client = await sandbox.client(sandbox.login(owner))
        peer = input_peer(owner, source)
        made = await raw(
            client, functions.messages.CreateForumTopicRequest(peer, "News", random_id=1)
        )
        topic = made.updates[0].id

        def post(text: str, **fields: object) -> int:
            message, event = world.post(source, owner.id, text, **fields)
            pushes.channel_event(source, event, message)
            return message.id

        first = post("plain")
        post("bold", entities=[types.MessageEntityBold(0, 4)], topic=topic)
        for number, it in enumerate(media(sandbox)):
            post(f"caption {number}" if number == 0 else "", media=it)
        await raw(client, functions.messages.UpdatePinnedMessageRequest(peer, first))
        edited = post("before")
        edit = functions.messages.EditMessageRequest(peer, edited, message="after")
        await raw(client, edit)
        gone = post("to be deleted")
        await raw(
            client,
            functions.channels.DeleteMessagesRequest(
                types.InputChannel(source.id, source.hash_for(owner.id)), [gone]
            ),
        )
        await raw(client, functions.messages.EditForumTopicRequest(peer, topic, closed=True))
        post("last")
        ledger = sandbox.server.ledger
        while ledger.judge().lost:
            await asyncio.sleep(0.01)
            session.poll()
        verdict = ledger.judge()
        assert verdict.is_clean, (verdict, ledger.altered())
        assert verdict.strange == 0 and not harness.lost
        # A forward of what was deleted meanwhile is refused, and reported.
        assert all(f"message {gone} " in it for it in harness.troubles), harness.troubles
        await session.stop()

    run_scenario(scenario)
