"""Where each box begins, and what of it is to be stored.

Source: core.telegram.org/api/updates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from telethon import errors, utils
from telethon.tl import functions, types

from afx.telegram.boxes import Box
from afx.telegram.client import AccountClient
from afx.telegram.differences import bot_position, channel_position
from afx.telegram.errors import error_name, is_for_people, refuses_chat
from afx.telegram.peers import Peers
from afx.telegram.session import StoredSession, account_field, channel_field, last_field
from afx.telegram.updates import UpdateReader

_PAGE = 100


async def set_positions(
    client: AccountClient,
    reader: UpdateReader,
    stored: StoredSession,
    peers: Peers,
    sources: Iterable[int],
) -> dict[int, str]:
    """Set each source's box to its stored cursor, or to now when there is none.

    ``sources`` are marked ids. Returns those that cannot be read, and why; they have no box.
    """
    await _set_account(client, reader, stored)
    channels = reader.channels
    unknown: list[int] = []
    for chat in sources:
        bare, kind = utils.resolve_id(chat)
        box = reader.account
        if kind is types.PeerChannel:
            box = channels[bare] = Box(bare, 0, 0, syncing=True)
        if (last := stored.last_id(chat)) is not None:
            box.last_ids[chat] = last
        if box is reader.account:
            if last is None:
                unknown.append(chat)
            continue
        box.pts = box.cursor = stored.channel_cursor(bare)
        if not box.pts:
            unknown.append(chat)
    found, refused = await _newest(client, peers, unknown)
    _set_to_now(reader, found)
    for chat in refused:
        channels.pop(utils.resolve_id(chat)[0], None)
    return refused


async def begin_at_now(
    client: AccountClient, reader: UpdateReader, peers: Peers, sources: Sequence[int]
) -> dict[int, str]:
    """Begin to read some more sources, from now on; the session runs already.

    Returns those that cannot be read, and why.
    """
    found, refused = await _newest(client, peers, sources)
    # Not before: a box without a position must not be brought up to date.
    for chat in found:
        bare, kind = utils.resolve_id(chat)
        if kind is types.PeerChannel:
            reader.channels[bare] = Box(bare, 0, 0)
    _set_to_now(reader, found)
    return refused


async def unreadable(client: AccountClient, peers: Peers, sources: Sequence[int]) -> dict[int, str]:
    """Return which sources cannot be read, and why; nothing begins by that."""
    _, refused = await _newest(client, peers, sources)
    return refused


def forget_source(reader: UpdateReader, chat: int) -> list[str]:
    """Read a source no more; returns what is stored of it, as fields to remove."""
    bare, kind = utils.resolve_id(chat)
    if kind is types.PeerChannel:
        reader.channels.pop(bare, None)
        return [channel_field(bare, 0)[0], last_field(chat, 0)[0]]
    reader.account.last_ids.pop(chat, None)
    return [last_field(chat, 0)[0]]


async def _set_account(client: AccountClient, reader: UpdateReader, stored: StoredSession) -> None:
    cursor = stored.account_cursor()
    if cursor is None or not (cursor[0] and cursor[2]):
        # A stored pts without a date stays; Telegram refuses date 0 (DATE_EMPTY).
        state = await client(functions.updates.GetStateRequest())
        pts = cursor[0] if cursor and cursor[0] else state.pts
        cursor = (pts, state.qts, int(state.date.timestamp()))
    reader.set_account(*cursor)


async def _newest(
    client: AccountClient, peers: Peers, chats: Sequence[int]
) -> tuple[dict[int, tuple[int, int]], dict[int, str]]:
    """Return (chat → its pts and its newest message, chat → why it cannot be read).

    Only channels have a pts. One chat that is refused does not hide the others of its page.
    """
    found: dict[int, tuple[int, int]] = {}
    refused: dict[int, str] = {}
    read = _read_page
    pages = [chats[start : start + _PAGE] for start in range(0, len(chats), _PAGE)]
    while pages:
        page = pages.pop()
        try:
            found.update(await read(client, peers, page))
        except errors.RPCError as error:
            if not refuses_chat(error):
                raise
            if is_for_people(error) and read is _read_page:
                read = _read_as_bot
                pages.append(page)
            elif len(page) > 1:
                pages += [[it] for it in page]
            else:
                refused[page[0]] = error_name(error)
    for chat in chats:
        bare_pts = found.get(chat, (0, 0))[0]
        if utils.resolve_id(chat)[1] is types.PeerChannel and not bare_pts:
            refused.setdefault(chat, "it has no position")
    return {it: at for it, at in found.items() if it not in refused}, refused


async def _read_page(
    client: AccountClient, peers: Peers, page: Sequence[int]
) -> dict[int, tuple[int, int]]:
    wanted = [types.InputDialogPeer(peers.input_peer(it)) for it in page]
    answer = await client(functions.messages.GetPeerDialogsRequest(wanted))
    # When the account's updates are too old, a private chat is read from its newest on.
    found = dict.fromkeys(page, (0, 0))
    for dialog in answer.dialogs:
        pts, top, chat = dialog.pts or 0, dialog.top_message, utils.get_peer_id(dialog.peer)
        if not pts and isinstance(dialog.peer, types.PeerChannel):
            # A position of 1 would copy what was posted before the rule.
            pts, top = await channel_position(client, peers.input_peer(chat))
        found[chat] = pts, top
    return found


async def _read_as_bot(
    client: AccountClient, peers: Peers, page: Sequence[int]
) -> dict[int, tuple[int, int]]:
    """Do the same for a bot, which has no dialogs; of private chats it begins at any message."""
    found = dict.fromkeys(page, (0, 0))
    for chat in page:
        if utils.resolve_id(chat)[1] is types.PeerChannel:
            found[chat] = await bot_position(client, peers.input_peer(chat))
    return found


def _set_to_now(reader: UpdateReader, found: Mapping[int, tuple[int, int]]) -> None:
    for chat, (pts, top) in found.items():
        bare, kind = utils.resolve_id(chat)
        box = reader.account
        if kind is types.PeerChannel:
            box = reader.channels[bare]
            box.pts = box.cursor = pts
        box.last_ids.setdefault(chat, top)


def cursor_fields(reader: UpdateReader) -> list[Any]:
    """Return what is settled, as field, value, … of the session's cursor hash."""
    fields: list[Any] = []
    box = reader.account
    if box.cursor:
        fields += account_field(box.cursor, *reader.settled_state())
    for channel, channel_box in reader.channels.items():
        if channel_box.cursor:
            fields += channel_field(channel, channel_box.cursor)
    for each in reader.boxes():
        for chat, message in each.last_ids.items():
            fields += last_field(chat, message)
    return fields


def stale_fields(reader: UpdateReader, stored: StoredSession) -> list[str]:
    """Return what is stored of chats that are no sources any more, as fields to remove.

    A rule that is added again later must not begin where the old one ended.
    """
    current = set(cursor_fields(reader)[::2])
    return [
        it for it in stored.cursors if it.startswith(("channel:", "last:")) and it not in current
    ]
