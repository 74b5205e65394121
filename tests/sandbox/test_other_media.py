"""Contacts, places, dice and stickers: sent, read by another, and forwarded."""

from __future__ import annotations

from typing import Any

import pytest
from support.raw import forward, input_peer, message_ids, messages_of, raw
from support.sandbox import SandboxHarness, run_scenario
from telethon import TelegramClient, errors
from telethon.tl import functions, types

from afx.sandbox.telegram.peers import Account, Channel

HERE = types.InputGeoPoint(52.5, 13.4)


class Chat:
    """A channel, its poster and another channel of the same poster."""

    def __init__(self, sandbox: SandboxHarness) -> None:
        self.sandbox = sandbox
        self.account: Account = sandbox.server.world.add_account()
        self.channel: Channel = sandbox.channel(posters=(self.account,))
        self.client: TelegramClient

    async def open(self) -> Chat:
        self.client = await self.sandbox.client(self.sandbox.login(self.account))
        return self

    async def send(self, media: Any, random_id: int = 1) -> int:
        request = functions.messages.SendMediaRequest(
            input_peer(self.account, self.channel), media, "", random_id=random_id
        )
        [(_, number)] = message_ids((await raw(self.client, request)).updates)
        return number

    async def media(self, channel: Channel, number: int) -> Any:
        page = await raw(self.client, messages_of(self.account, channel, [number]))
        return page.messages[0].media


@pytest.mark.parametrize(
    ("media", "kind", "fields"),
    [
        (
            types.InputMediaContact("+4930", "Ada", "Lovelace", ""),
            types.MessageMediaContact,
            {"first_name": "Ada", "last_name": "Lovelace", "user_id": 0},
        ),
        (types.InputMediaGeoPoint(HERE), types.MessageMediaGeo, {}),
        (
            types.InputMediaGeoLive(HERE, period=600),
            types.MessageMediaGeoLive,
            {"period": 600},
        ),
        (
            types.InputMediaVenue(HERE, "Café", "Street 1", "foursquare", "id", "food"),
            types.MessageMediaVenue,
            {"title": "Café", "address": "Street 1"},
        ),
        (types.InputMediaDice("🎲"), types.MessageMediaDice, {"emoticon": "🎲"}),
    ],
    ids=["contact", "location", "live location", "venue", "dice"],
)
def test_media_are_sent_and_their_forwards_are_judged_the_same(
    media: Any, kind: type, fields: dict[str, Any]
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        chat = await Chat(sandbox).open()
        number = await chat.send(media)
        assert await chat.send(media) == number, "a repeat makes nothing new"
        seen = await chat.media(chat.channel, number)
        assert isinstance(seen, kind)
        assert {name: getattr(seen, name) for name in fields} == fields
        reader = sandbox.server.world.add_account()
        sandbox.server.world.join(chat.channel, reader)
        to = sandbox.channel(posters=(reader,))
        ledger = sandbox.server.ledger
        ledger.expect(chat.channel.marked, to.marked, reader.id)
        later = await chat.send(media, 2)
        client = await sandbox.client(sandbox.login(reader))
        await raw(client, forward(reader, chat.channel, to, [later], [9]))
        copy = next(iter(to.box.messages.values()))
        assert bytes(await chat.media(chat.channel, later)) == bytes(copy.content.media.view())
        verdict = ledger.judge()
        assert verdict.is_clean and verdict.delivered == 1

    run_scenario(scenario)


def test_a_contact_of_an_account_names_its_user() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        chat = await Chat(sandbox).open()
        friend = sandbox.server.world.add_account()
        number = await chat.send(types.InputMediaContact("+" + friend.phone, "A", "", ""))
        assert (await chat.media(chat.channel, number)).user_id == friend.id

    run_scenario(scenario)


@pytest.mark.parametrize(("emoji", "most"), [("🎲", 6), ("🏀", 5), ("⚽️", 5), ("🎰", 64)])
def test_the_server_throws_the_dice(emoji: str, most: int) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        chat = await Chat(sandbox).open()
        numbers = [await chat.send(types.InputMediaDice(emoji), it + 1) for it in range(40)]
        values = {(await chat.media(chat.channel, it)).value for it in numbers}
        assert len(values) > 1 and values <= set(range(1, most + 1))

    run_scenario(scenario)


@pytest.mark.parametrize(
    ("media", "refusal"),
    [
        (types.InputMediaGeoPoint(types.InputGeoPoint(91.0, 0.0)), errors.GeoPointInvalidError),
        (types.InputMediaGeoPoint(types.InputGeoPointEmpty()), errors.GeoPointInvalidError),
        (types.InputMediaDice("🐈"), errors.EmoticonInvalidError),
        (types.InputMediaGeoLive(HERE, period=5), errors.MediaInvalidError),
        (types.InputMediaEmpty(), errors.MediaInvalidError),
    ],
    ids=["no such place", "no place", "no such dice", "too short", "nothing"],
)
def test_media_against_the_rules_are_refused(media: Any, refusal: type[Exception]) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        chat = await Chat(sandbox).open()
        with pytest.raises(refusal):
            await chat.send(media)

    run_scenario(scenario)


def test_a_sticker_stays_one_when_it_is_sent_by_reference_and_forwarded() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        chat = await Chat(sandbox).open()
        alt = types.DocumentAttributeSticker("👍", types.InputStickerSetEmpty())
        await raw(chat.client, functions.upload.SaveFilePartRequest(7, 0, b"webp"))
        uploaded = types.InputMediaUploadedDocument(
            types.InputFile(7, 1, "s.webp", ""), "image/webp", [alt]
        )
        number = await chat.send(uploaded)
        document = (await chat.media(chat.channel, number)).document
        named = types.InputDocument(document.id, document.access_hash, document.file_reference)
        again = await chat.send(types.InputMediaDocument(named), 2)
        to = sandbox.channel(posters=(chat.account,))
        await raw(chat.client, forward(chat.account, chat.channel, to, [again], [9]))
        copy = await chat.media(to, 1)
        assert [it.alt for it in copy.document.attributes] == ["👍"]
        assert copy.document.id == document.id

    run_scenario(scenario)


def test_an_edit_may_bring_other_media() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        chat = await Chat(sandbox).open()
        first, second = (
            types.InputMediaContact("+4930", name, "", "") for name in ("Ada", "Grace")
        )
        number = await chat.send(first)
        peer = input_peer(chat.account, chat.channel)
        with pytest.raises(errors.MessageNotModifiedError):
            await raw(chat.client, functions.messages.EditMessageRequest(peer, number, media=first))
        await raw(chat.client, functions.messages.EditMessageRequest(peer, number, media=second))
        assert (await chat.media(chat.channel, number)).first_name == "Grace"
        [change] = sandbox.server.world.changes
        assert change.before.media is not change.after.media  # type: ignore[union-attr]

    run_scenario(scenario)


def test_a_mention_names_its_user_without_an_access_hash() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        chat = await Chat(sandbox).open()
        friend = sandbox.server.world.add_account()
        named = types.InputUser(friend.id, friend.hash_for(chat.account.id))
        request = functions.messages.SendMessageRequest(
            input_peer(chat.account, chat.channel),
            "Ada",
            random_id=1,
            entities=[types.InputMessageEntityMentionName(0, 3, named)],
        )
        await raw(chat.client, request)
        page = await raw(chat.client, messages_of(chat.account, chat.channel, [1]))
        assert page.messages[0].entities == [types.MessageEntityMentionName(0, 3, friend.id)]

    run_scenario(scenario)


def test_an_album_has_files_alone() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        chat = await Chat(sandbox).open()
        item = types.InputSingleMedia(types.InputMediaDice("🎲"), "", random_id=1)
        request = functions.messages.SendMultiMediaRequest(
            input_peer(chat.account, chat.channel), [item]
        )
        with pytest.raises(errors.MediaInvalidError):
            await raw(chat.client, request)

    run_scenario(scenario)


def test_a_live_location_is_moved_and_stopped_by_edits() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        chat = await Chat(sandbox).open()
        number = await chat.send(types.InputMediaGeoLive(HERE, period=600))

        async def edit(channel: Channel, media: Any) -> Any:
            request = functions.messages.EditMessageRequest(
                input_peer(chat.account, channel), number, media=media
            )
            await raw(chat.client, request)
            return await chat.media(channel, number)

        there = types.InputGeoPoint(10.0, 20.0)
        moved = await edit(chat.channel, types.InputMediaGeoLive(there, heading=90))
        assert (moved.geo.lat, moved.geo.long, moved.heading, moved.period) == (10, 20, 90, 600)
        page = await raw(chat.client, messages_of(chat.account, chat.channel, [number]))
        assert page.messages[0].edit_hide
        to = sandbox.channel(posters=(chat.account,))
        await raw(chat.client, forward(chat.account, chat.channel, to, [number], [9]))
        with pytest.raises(errors.MediaPrevInvalidError):
            await edit(to, types.InputMediaGeoLive(HERE))
        stop = types.InputMediaGeoLive(types.InputGeoPointEmpty(), stopped=True)
        stopped = await edit(chat.channel, stop)
        assert stopped.period < 60 and stopped.geo.lat == 10

    run_scenario(scenario)
