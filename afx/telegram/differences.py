"""Asks Telegram what a box has missed; each answer is returned as one value.

Source: core.telegram.org/api/updates, and the pages of the methods named below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from telethon import errors, utils
from telethon.tl import functions, types

from afx.forwarding.changes import Change
from afx.telegram import lean_reading
from afx.telegram.changes import changes_of
from afx.telegram.client import AccountClient
from afx.telegram.errors import is_for_people

SLICE = 100
"""Events, or messages, of one answer."""
ID_RANGE = 200
"""Message ids of one call (method/channels.getMessages)."""


@dataclass(slots=True, frozen=True)
class Part:
    """One answer: what it holds, and the position after it."""

    pts: int
    final: bool
    messages: Sequence[Any] = ()
    """New messages, as Telegram's own objects, in order."""
    announced: Sequence[tuple[int, int]] = ()
    """(random_id, message id) of sends whose answers may have been lost."""
    changes: Sequence[Change] = ()
    """Edits, deletes and pins; what they are about comes before them."""
    behind: Sequence[int] = ()
    """Bare ids of channels that have to be fetched too."""
    is_too_long: bool = False
    """The updates up to ``pts`` are gone; the messages have to be read instead."""
    top: int = 0
    """The newest message id of a channel whose updates are gone."""
    qts: int = 0
    date: datetime | None = None


async def account_difference(client: AccountClient, pts: int, qts: int, date: datetime) -> Part:
    """Return the next part of the account's difference.

    A date of 0 is refused (DATE_EMPTY). Source: method/updates.getDifference.
    """
    answer = await client(functions.updates.GetDifferenceRequest(pts=pts, date=date, qts=qts))
    if isinstance(answer, types.updates.DifferenceEmpty):
        return Part(0, True, qts=qts, date=answer.date)
    if isinstance(answer, types.updates.DifferenceTooLong):
        return Part(answer.pts, False, is_too_long=True, qts=qts)
    final = isinstance(answer, types.updates.Difference)
    state = answer.state if final else answer.intermediate_state
    announced = [
        (it.random_id, it.id)
        for it in answer.other_updates
        if isinstance(it, types.UpdateMessageID)
    ]
    behind = [
        it.channel_id for it in answer.other_updates if isinstance(it, types.UpdateChannelTooLong)
    ]
    return Part(
        state.pts,
        final,
        answer.new_messages,
        announced,
        changes_of(answer.other_updates),
        behind,
        qts=state.qts,
        date=state.date,
    )


async def channel_difference(client: AccountClient, channel: Any, pts: int) -> Part:
    """Return the next part of a channel's difference.

    Source: method/updates.getChannelDifference.
    """
    request = functions.updates.GetChannelDifferenceRequest(
        channel=channel,
        filter=types.ChannelMessagesFilterEmpty(),
        pts=pts,
        limit=SLICE,
    )
    request.read_result = lean_reading.read_channel_difference
    answer = await client(request)
    final = bool(answer.final)
    if isinstance(answer, types.updates.ChannelDifferenceEmpty):
        return Part(0, final)
    if isinstance(answer, types.updates.ChannelDifferenceTooLong):
        pts, top = answer.dialog.pts, answer.dialog.top_message
        if not pts:
            pts, top = await channel_position(client, channel)
            final = False
        return Part(pts, final, is_too_long=True, top=top)
    announced = [
        (it.random_id, it.id)
        for it in answer.other_updates
        if isinstance(it, types.UpdateMessageID)
    ]
    changes = changes_of(answer.other_updates)
    return Part(answer.pts, final, answer.new_messages, announced, changes)


async def channel_position(client: AccountClient, channel: Any) -> tuple[int, int]:
    """Return a channel's pts and its newest message id, which is no older than that pts.

    A dialog may have no pts (constructor/dialog); a full channel has one always
    (constructor/channelFull).
    """
    full = await client(functions.channels.GetFullChannelRequest(channel))
    try:
        page = await client(
            functions.messages.GetPeerDialogsRequest([types.InputDialogPeer(channel)])
        )
    except errors.RPCError as error:
        if is_for_people(error):
            return await bot_position(client, channel)
        raise
    top = max((it.top_message for it in page.dialogs), default=0)
    return int(full.full_chat.pts), int(top)


async def bot_position(client: AccountClient, channel: Any) -> tuple[int, int]:
    """Return a channel's pts and a message id that is no newer than its newest, for a bot.

    Bots have neither dialogs nor histories. The last event tells of one of the newest
    messages; it matters only if updates are lost before the next message comes.
    """
    full = await client(functions.channels.GetFullChannelRequest(channel))
    pts = int(full.full_chat.pts)
    if pts < 2:
        return pts, 0
    answer = await client(
        functions.updates.GetChannelDifferenceRequest(
            channel=channel, filter=types.ChannelMessagesFilterEmpty(), pts=pts - 1, limit=1
        )
    )
    messages = [
        *getattr(answer, "new_messages", ()),
        *getattr(answer, "messages", ()),
        *(it.message for it in getattr(answer, "other_updates", ()) if hasattr(it, "message")),
    ]
    return pts, max((int(it.id) for it in messages), default=0)


async def channel_messages(
    client: AccountClient, channel: Any, first: int, last: int
) -> Sequence[Any]:
    """Return a channel's messages of a range of ids, in order; deleted ones are empty.

    A channel's history is bounded by its log, as the difference is, and cannot replace
    it (api/updates, "Recovering gaps"). Source: method/channels.getMessages.
    """
    ids = [types.InputMessageID(it) for it in range(first, last + 1)]
    page = await client(functions.channels.GetMessagesRequest(channel, ids))
    return sorted(page.messages, key=lambda it: it.id)


async def fetch_messages(
    client: AccountClient,
    chat: int,
    peer: Any,
    ids: Sequence[int],
    names: dict[int, str] | None = None,
) -> list[Any]:
    """Return the messages of a marked chat that still exist, up to 200 ids at once.

    Telegram renews the references of their files with them (api/file-references). It tells the
    chat's name, too, which is put into ``names``.
    """
    wanted = [types.InputMessageID(it) for it in ids]
    if isinstance(peer, types.InputPeerChannel):
        page = await client(functions.channels.GetMessagesRequest(peer, wanted))
    else:
        page = await client(functions.messages.GetMessagesRequest(wanted))
    if names is not None:
        for it in (*page.chats, *page.users):
            if utils.get_peer_id(it) == chat:
                names[chat] = utils.get_display_name(it)
    return [
        it
        for it in page.messages
        if isinstance(it, types.Message) and utils.get_peer_id(it.peer_id) == chat
    ]


async def messages_after(client: AccountClient, peer: Any, newest: int) -> list[Any]:
    """Return the oldest messages of a chat that are newer than ``newest``, in order.

    For private chats and basic groups; see ``channel_messages``.
    Source: core.telegram.org/api/offsets.
    """
    page = await client(
        functions.messages.GetHistoryRequest(
            peer=peer,
            offset_id=newest + 1,
            offset_date=None,
            add_offset=-SLICE,
            limit=SLICE,
            max_id=0,
            min_id=newest,
            hash=0,
        )
    )
    return sorted((it for it in page.messages if it.id > newest), key=lambda it: it.id)


def marked_channel(channel: int) -> int:
    """Return the marked id of a channel's bare id."""
    return int(utils.get_peer_id(types.PeerChannel(channel)))
