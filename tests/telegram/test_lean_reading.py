"""Updates are read without the users and chats that come with them."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from telethon.errors import TypeNotFoundError
from telethon.extensions import BinaryReader
from telethon.tl import types

from afx.telegram.lean_reading import read

DATE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CHANNEL = types.Channel(7, "title", types.ChatPhotoEmpty(), DATE, access_hash=1, usernames=[])
USER = types.User(8, access_hash=2, first_name="name", usernames=[])
MESSAGE = types.Message(1, types.PeerChannel(7), DATE, "text", post=True, entities=[])
NEW = types.UpdateNewChannelMessage(MESSAGE, 5, 1)


def whole(body: bytes) -> Any:
    with BinaryReader(body) as reader:
        return reader.tgread_object()


@pytest.mark.parametrize(
    "them",
    [[], [NEW], [types.UpdateMessageID(1, 2), NEW], [types.UpdateChannelTooLong(7)]],
    ids=["none", "one", "an answer", "without a message"],
)
@pytest.mark.parametrize(
    ("users", "chats"), [([], []), ([USER], [CHANNEL]), ([USER] * 3, [CHANNEL] * 5)]
)
def test_updates_are_as_telethon_reads_them_but_for_users_and_chats(
    them: list[Any], users: list[Any], chats: list[Any]
) -> None:
    body = bytes(types.Updates(them, users, chats, DATE, 9))
    expected = whole(body)
    expected.users, expected.chats = [], []
    assert read(body).to_dict() == expected.to_dict()


@pytest.mark.parametrize(
    "it",
    [
        types.UpdatesTooLong(),
        types.UpdatesCombined([NEW], [USER], [CHANNEL], DATE, 1, 2),
        types.UpdateShort(types.UpdateChannelTooLong(7), DATE),
        types.messages.Messages([MESSAGE], [], [CHANNEL], [USER]),
        types.messages.AffectedMessages(1, 2),
    ],
    ids=lambda it: type(it).__name__,
)
def test_other_objects_are_read_whole(it: Any) -> None:
    assert read(bytes(it)).to_dict() == whole(bytes(it)).to_dict()


def test_a_channel_that_cannot_be_read_hides_no_message() -> None:
    class Unknown:
        def _bytes(self) -> bytes:
            return struct.pack("<I", 0x12345678)

    found = read(bytes(types.Updates([NEW], [], [Unknown()], DATE, 0)))
    assert found.updates[0].message.message == "text"
    assert found.date == DATE


@pytest.mark.parametrize("cut", range(4, 60, 4))
def test_updates_that_end_early_are_refused_as_telethon_refuses_them(cut: int) -> None:
    body = bytes(types.Updates([], [], [], DATE, 0))[:-cut]
    with pytest.raises((struct.error, BufferError)):
        whole(body)
    with pytest.raises((struct.error, BufferError)):
        read(body)


def test_bytes_that_are_no_object_are_refused() -> None:
    with pytest.raises(struct.error):
        read(b"")
    with pytest.raises(TypeNotFoundError):
        read(struct.pack("<I", 0x12345678))


def test_updates_without_a_date_are_read_whole() -> None:
    body = bytes(types.Updates([NEW], [USER], [], datetime.fromtimestamp(0, UTC), 0))
    assert [it.id for it in read(body).users] == [8]


PEERS = [None, types.PeerUser(8), types.PeerChat(9), types.PeerChannel(10)]


@pytest.mark.parametrize("sender", PEERS, ids=lambda it: type(it).__name__)
@pytest.mark.parametrize("boosts", [None, 3])
@pytest.mark.parametrize("kind", [types.UpdateNewChannelMessage, types.UpdateEditChannelMessage])
def test_a_message_of_a_channel_that_is_not_followed_is_left_out(
    sender: Any, boosts: int | None, kind: Any
) -> None:
    message = types.Message(
        1,
        types.PeerChannel(7),
        DATE,
        "text",
        from_id=sender,
        from_boosts_applied=boosts,
        reply_to=types.MessageReplyHeader(reply_to_msg_id=5),
        media=types.MessageMediaGeo(types.GeoPoint(1.0, 2.0, 3)),
    )
    body = bytes(types.Updates([kind(message, 5, 1)], [USER], [CHANNEL], DATE, 9))
    expected = whole(body)
    expected.users, expected.chats = [], []
    for followed in (None, {7}, {7: "box", 8: "box"}):
        assert read(body, followed).to_dict() == expected.to_dict()
    expected.updates = []
    for unfollowed in ({8}, {8: "box"}, frozenset({1, 9, 10})):
        assert read(body, unfollowed).to_dict() == expected.to_dict()


@pytest.mark.parametrize(
    "them",
    [
        [NEW, NEW],
        [],
        [types.UpdateMessageID(1, 2)],
        [types.UpdateDeleteChannelMessages(7, [1], 5, 1)],
        [types.UpdateNewMessage(types.Message(1, types.PeerUser(7), DATE, "text"), 5, 1)],
        [types.UpdateNewMessage(MESSAGE, 5, 1)],
        [types.UpdateNewChannelMessage(types.MessageEmpty(1, types.PeerChannel(7)), 5, 1)],
        [
            types.UpdateNewChannelMessage(
                types.Message(1, types.PeerChannel(7), DATE, "x", from_rank="a rank"), 5, 1
            )
        ],
        [
            types.UpdateNewChannelMessage(
                types.MessageService(
                    1, types.PeerChannel(7), DATE, action=types.MessageActionPinMessage()
                ),
                5,
                1,
            )
        ],
    ],
    ids=["two", "none", "id", "deletes", "private", "box", "empty", "rank", "service"],
)
def test_what_is_not_one_message_of_a_channel_is_never_left_out(them: list[Any]) -> None:
    body = bytes(types.Updates(them, [], [], DATE, 9))
    assert read(body, frozenset()).to_dict() == whole(body).to_dict()


def test_cut_updates_of_an_unfollowed_channel_do_no_harm() -> None:
    body = bytes(types.Updates([NEW], [], [], DATE, 0))
    for cut in range(1, len(body)):
        try:
            found = read(body[:-cut], frozenset())
        except (struct.error, BufferError, TypeNotFoundError, RuntimeError):
            continue
        assert not found.updates
