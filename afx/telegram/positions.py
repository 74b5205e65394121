"""Where each box begins, and what of it is to be stored.

Source: core.telegram.org/api/updates.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from telethon import utils
from telethon.tl import functions, types

from afx.telegram.boxes import Box
from afx.telegram.client import AccountClient
from afx.telegram.differences import channel_position
from afx.telegram.peers import Peers
from afx.telegram.session import StoredSession, account_field, channel_field, last_field
from afx.telegram.updates import UpdateReader

_PAGE = 100


class UnreadableSourceError(Exception):
    """An account cannot read a source channel of a rule."""

    def __init__(self, channel: int) -> None:
        super().__init__(f"source channel {channel} cannot be read by this account")


async def set_positions(
    client: AccountClient,
    reader: UpdateReader,
    stored: StoredSession,
    peers: Peers,
    sources: Iterable[int],
) -> None:
    """Set each source's box to its stored cursor, or to now when there is none.

    ``sources`` are marked ids. Raises UnreadableSourceError.
    """
    await _set_account(client, reader, stored)
    channels = reader.channels
    private: list[int] = []
    for chat in sources:
        bare, kind = utils.resolve_id(chat)
        box = reader.account
        if kind is types.PeerChannel:
            box = channels[bare] = Box(bare, 0, 0, syncing=True)
        if (last := stored.last_id(chat)) is not None:
            box.last_ids[chat] = last
        elif box is reader.account:
            private.append(chat)
    for start in range(0, len(private), _PAGE):
        await _set_newest(client, reader.account, peers, private[start : start + _PAGE])
    unknown = []
    for channel, box in channels.items():
        box.pts = box.cursor = stored.channel_cursor(channel)
        if not box.pts:
            unknown.append(channel)
    for start in range(0, len(unknown), _PAGE):
        await _set_to_now(client, channels, peers, unknown[start : start + _PAGE])
    for channel in unknown:
        if not channels[channel].pts:
            raise UnreadableSourceError(channel)


async def _set_account(client: AccountClient, reader: UpdateReader, stored: StoredSession) -> None:
    cursor = stored.account_cursor()
    if cursor is None or not (cursor[0] and cursor[2]):
        # A stored pts without a date stays; Telegram refuses date 0 (DATE_EMPTY).
        state = await client(functions.updates.GetStateRequest())
        pts = cursor[0] if cursor and cursor[0] else state.pts
        cursor = (pts, state.qts, int(state.date.timestamp()))
    reader.set_account(*cursor)


async def _set_to_now(
    client: AccountClient, channels: dict[int, Box], peers: Peers, chosen: list[int]
) -> None:
    wanted = [
        types.InputDialogPeer(peers.input_peer(utils.get_peer_id(types.PeerChannel(it))))
        for it in chosen
    ]
    page = await client(functions.messages.GetPeerDialogsRequest(wanted))
    for dialog in page.dialogs:
        box = channels[dialog.peer.channel_id]
        pts, top, chat = dialog.pts, dialog.top_message, utils.get_peer_id(dialog.peer)
        if not pts:
            # A position of 1 would copy what was posted before the rule.
            pts, top = await channel_position(client, peers.input_peer(chat))
        box.pts = box.cursor = pts
        box.last_ids.setdefault(chat, top)


async def _set_newest(client: AccountClient, account: Box, peers: Peers, chosen: list[int]) -> None:
    """Note the newest message of private chats and basic groups that have no stored one.

    When the account's updates are too old, each chat is read from there on.
    """
    wanted = [types.InputDialogPeer(peers.input_peer(it)) for it in chosen]
    page = await client(functions.messages.GetPeerDialogsRequest(wanted))
    newest = {utils.get_peer_id(it.peer): it.top_message for it in page.dialogs}
    for chat in chosen:
        account.last_ids[chat] = newest.get(chat, 0)


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
