"""Updates about messages are read as Telethon reads them, whatever their bytes are."""

from __future__ import annotations

import random
import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from telethon import utils
from telethon.extensions import BinaryReader
from telethon.tl import types

from afx.telegram.lean_reading import read, read_channel_difference
from afx.telegram.message_reading import MESSAGE, read_update
from afx.telegram.messages import marked_id

DATE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PEERS = [types.PeerUser(8), types.PeerChat(9), types.PeerChannel(10), types.PeerUser(1 << 40)]
SWITCHES = [
    *("out", "mentioned", "media_unread", "silent", "post", "from_scheduled", "legacy"),
    *("edit_hide", "pinned", "noforwards", "invert_media"),
]
SELDOM_SWITCHES = [
    *("offline", "video_processing_pending", "paid_suggested_post_stars"),
    "paid_suggested_post_ton",
]
PARTS: dict[str, list[Any]] = {
    "from_id": PEERS,
    "fwd_from": [types.MessageFwdHeader(DATE, from_id=types.PeerChannel(5), channel_post=3)],
    "reply_to": [
        types.MessageReplyHeader(reply_to_msg_id=5, forum_topic=True),
        types.MessageReplyStoryHeader(types.PeerUser(4), 3),
    ],
    "media": [
        types.MessageMediaEmpty(),
        types.MessageMediaGeo(types.GeoPoint(1.0, 2.0, 3)),
        types.MessageMediaContact("1", "first", "last", "", 7),
    ],
    "reply_markup": [types.ReplyKeyboardHide(), types.ReplyInlineMarkup([])],
    "entities": [[], [types.MessageEntityBold(0, 2), types.MessageEntityTextUrl(1, 2, "url")]],
    "replies": [types.MessageReplies(1, 2, comments=True, channel_id=9)],
    "edit_date": [DATE],
    "post_author": ["", "somebody", "ü" * 300],
    "grouped_id": [1, -(1 << 62)],
    "reactions": [types.MessageReactions([], min=True)],
}
SELDOM_PARTS: dict[str, list[Any]] = {
    "from_boosts_applied": [3],
    "from_rank": ["rank"],
    "saved_peer_id": PEERS,
    "via_bot_id": [6],
    "via_business_bot_id": [6],
    "ttl_period": [60],
    "effect": [1],
    "restriction_reason": [[types.RestrictionReason("all", "porn", "text")]],
}
TEXTS = ["", "a", "abc", "ü€😀", "x" * 252, "x" * 253, "x" * 254, "x" * 255, "😀" * 4096]
KINDS = [
    types.UpdateNewChannelMessage,
    types.UpdateNewMessage,
    types.UpdateEditChannelMessage,
    types.UpdateEditMessage,
]


def random_message(rng: random.Random, seldom: float) -> Any:
    """Return a message with any of its fields, the seldom ones with this probability."""
    fields: dict[str, Any] = {it: True for it in SWITCHES if rng.random() < 0.3}
    fields |= {it: True for it in SELDOM_SWITCHES if rng.random() < seldom}
    fields |= {it: rng.choice(them) for it, them in PARTS.items() if rng.random() < 0.3}
    fields |= {it: rng.choice(them) for it, them in SELDOM_PARTS.items() if rng.random() < seldom}
    if rng.random() < 0.5:
        fields |= {"views": rng.randrange(1 << 31), "forwards": rng.randrange(100)}
    number = rng.randrange(1 << 31)
    return types.Message(number, rng.choice(PEERS), DATE, rng.choice(TEXTS), **fields)


def as_telethon(body: bytes) -> Any:
    """Return what Telethon reads and where it ends, or what it raises."""
    return _outcome(BinaryReader(body), BinaryReader.tgread_object)


def as_read(body: bytes) -> Any:
    return _outcome(BinaryReader(body), read_update)


def _outcome(reader: BinaryReader, read_it: Any) -> Any:
    try:
        found = read_it(reader)
    except Exception as error:
        return type(error), str(error), reader.position
    return plain(found), reader.position


def plain(found: Any) -> Any:
    """Return all attributes of an object and of what is in it, also those that no bytes hold."""
    if isinstance(found, list):
        return [plain(it) for it in found]
    if not hasattr(found, "CONSTRUCTOR_ID"):
        return found
    return type(found), {name: plain(it) for name, it in vars(found).items()}


def test_the_layout_is_that_of_telethons_message() -> None:
    assert types.Message.CONSTRUCTOR_ID == MESSAGE


@pytest.mark.parametrize("seldom", [0.0, 0.05])
def test_updates_about_messages_are_as_telethon_reads_them(seldom: float) -> None:
    rng = random.Random(f"messages {seldom}")
    for _ in range(250):
        update = rng.choice(KINDS)(random_message(rng, seldom), rng.randrange(1 << 31), 1)
        body = bytes(update) + rng.randbytes(rng.randrange(8))
        assert as_read(body) == as_telethon(body)


@pytest.mark.parametrize(
    "update",
    [
        types.UpdateMessageID(-1, -(1 << 62)),
        types.UpdateNewChannelMessage(types.MessageEmpty(1, types.PeerChannel(7)), 5, 1),
        types.UpdateNewMessage(
            types.MessageService(
                1, types.PeerChat(7), DATE, action=types.MessageActionPinMessage()
            ),
            5,
            1,
        ),
        types.UpdateDeleteChannelMessages(7, [1], 5, 1),
        types.UpdateReadChannelInbox(7, 5, 1, 2),
        types.UpdatePinnedMessages(types.PeerChat(7), [1], 5, 1, pinned=True),
        types.UpdateNewChannelMessage(types.Message(1, types.PeerChannel(1 << 40), DATE, ""), 5, 1),
        types.UpdateNewMessage(types.Message(1, types.PeerChat(-5), DATE, ""), 5, 1),
        types.UpdateNewMessage(types.PeerChannel(7), 5, 1),
    ],
    ids=lambda it: type(it).__name__,
)
def test_other_updates_are_left_to_telethon(update: Any) -> None:
    assert as_read(bytes(update)) == as_telethon(bytes(update))


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_text_is_read_without_telethons_reader(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = types.Message(1, PEERS[2], DATE, "text", post=True, views=1, forwards=2)
    body = bytes(kind(message, 5, 1))
    expected = as_telethon(body)
    monkeypatch.setattr(BinaryReader, "tgread_object", None)
    assert as_read(body) == expected


def test_cut_updates_are_refused_as_telethon_refuses_them() -> None:
    rng = random.Random("cuts")
    for _ in range(8):
        body = bytes(rng.choice(KINDS)(random_message(rng, 0.0), 5, 1))[:400]
        for cut in range(len(body)):
            assert as_read(body[:cut]) == as_telethon(body[:cut])


def test_changed_bytes_are_read_or_refused_as_telethon_does() -> None:
    rng = random.Random("changes")
    for _ in range(500):
        body = bytearray(bytes(rng.choice(KINDS)(random_message(rng, 0.0), 5, 1)))
        for _ in range(rng.randrange(1, 4)):
            body[rng.randrange(min(len(body), 80))] = rng.randrange(256)
        assert as_read(bytes(body)) == as_telethon(bytes(body))


def test_texts_that_are_no_utf_8_are_read_as_telethon_reads_them() -> None:
    message = types.Message(1, PEERS[0], DATE, "xxxx")
    body = bytes(types.UpdateNewMessage(message, 5, 1)).replace(b"xxxx", b"\xff\xc3\xed\xa0")
    assert as_read(body) == as_telethon(body)


def test_two_messages_have_nothing_in_common() -> None:
    body = bytes(types.UpdateNewMessage(types.Message(1, PEERS[0], DATE, "text"), 5, 1))
    first, second = (read_update(BinaryReader(body)).message for _ in range(2))
    first.message, first.entities = "changed", [types.MessageEntityBold(0, 1)]
    assert (second.message, second.entities) == ("text", None)
    assert read_update(BinaryReader(body)).message.message == "text"


def test_an_answer_of_several_updates_is_as_telethon_reads_it() -> None:
    message = types.Message(1, types.PeerChannel(7), DATE, "text", out=True, post=True)
    them = [
        types.UpdateMessageID(1, 2),
        types.UpdateReadChannelInbox(7, 1, 0, 5),
        types.UpdateNewChannelMessage(message, 5, 1),
    ]
    body = bytes(types.Updates(them, [], [], DATE, 9))
    assert plain(read(body)) == as_telethon(body)[0]


@pytest.mark.parametrize("count", [2, -1, 1 << 30])
def test_a_vector_that_counts_wrongly_is_refused_as_telethon_refuses_it(count: int) -> None:
    body = bytes(types.Updates([types.UpdateMessageID(1, 2)], [], [], DATE, 9))
    body = body[:8] + struct.pack("<i", count) + body[12:]
    ours = _outcome(BinaryReader(body), lambda it: read(it.stream))
    assert ours[0] == as_telethon(body)[0]


@pytest.mark.parametrize(
    "peer", [*PEERS, types.PeerChannel(9_999_999_999), types.PeerChannel(10_000_000_000)]
)
def test_a_peer_has_the_marked_id_that_telethon_gives_it(peer: Any) -> None:
    assert marked_id(peer) == utils.get_peer_id(peer)


def test_a_channels_difference_is_as_telethon_reads_it_whatever_its_bytes_are() -> None:
    rng = random.Random("differences")
    channel = types.Channel(7, "title", types.ChatPhotoEmpty(), DATE, access_hash=1, usernames=[])
    for _ in range(60):
        new = [random_message(rng, 0.05) for _ in range(rng.randrange(4))]
        others = [types.UpdateMessageID(1, 2), types.UpdateDeleteChannelMessages(7, [1], 5, 1)]
        answer = types.updates.ChannelDifference(
            *(9, new, others[: rng.randrange(3)], [channel], []),
            final=rng.random() < 0.5,
            timeout=rng.choice([None, 30]),
        )
        body = bytes(answer)
        changed = bytearray(body)
        changed[rng.randrange(min(len(body), 60))] = rng.randrange(256)
        for it in (body, body[: rng.randrange(len(body))], bytes(changed)):
            assert _outcome(BinaryReader(it), read_channel_difference) == as_telethon(it)


@pytest.mark.parametrize(
    "answer",
    [
        types.updates.ChannelDifferenceEmpty(7, final=True, timeout=3),
        types.updates.ChannelDifferenceTooLong(
            types.Dialog(
                types.PeerChannel(7), 1, 1, 1, 0, 0, 0, 0, types.PeerNotifySettings(), pts=9
            ),
            [],
            [],
            [],
        ),
    ],
    ids=lambda it: type(it).__name__,
)
def test_other_answers_about_a_channel_are_left_to_telethon(answer: Any) -> None:
    body = bytes(answer)
    assert _outcome(BinaryReader(body), read_channel_difference) == as_telethon(body)
