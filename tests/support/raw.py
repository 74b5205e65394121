"""Requests as they are, without what Telethon adds: retries, sleeps, and entities."""

from __future__ import annotations

import asyncio
from typing import Any

from telethon import TelegramClient
from telethon.tl import functions, types

from afx.sandbox.telegram.peers import Account, Channel, Group


async def raw(client: TelegramClient, request: Any) -> Any:
    """Make one request once; raises the RPCError that it is refused with."""
    return await start(client, request)


def start(client: TelegramClient, *requests: Any, ordered: bool = False) -> Any:
    """Send requests at once; returns the future of the answer, or of all as a list."""
    found = client._sender.send(list(requests), ordered=ordered)
    return found[0] if len(requests) == 1 else found


async def outcomes(futures: list[asyncio.Future[Any]]) -> list[Any]:
    """Return each request's answer, or the exception that it met."""
    return await asyncio.gather(*futures, return_exceptions=True)


def input_peer(viewer: Account, peer: Account | Channel | Group) -> Any:
    """Return what an account names a peer by."""
    if isinstance(peer, Channel):
        return types.InputPeerChannel(peer.id, peer.hash_for(viewer.id))
    if isinstance(peer, Group):
        return types.InputPeerChat(peer.id)
    return types.InputPeerUser(peer.id, peer.hash_for(viewer.id))


def input_channel(viewer: Account, channel: Channel) -> Any:
    return types.InputChannel(channel.id, channel.hash_for(viewer.id))


def text(viewer: Account, peer: Account | Channel | Group, message: str, random_id: int) -> Any:
    """Return a request that sends a text."""
    return functions.messages.SendMessageRequest(
        input_peer(viewer, peer), message, random_id=random_id
    )


def forward(
    viewer: Account, source: Channel, to: Channel, ids: list[int], random_ids: list[int]
) -> Any:
    return functions.messages.ForwardMessagesRequest(
        input_peer(viewer, source), ids, input_peer(viewer, to), random_id=random_ids
    )


def channel_difference(viewer: Account, channel: Channel, pts: int, limit: int = 100) -> Any:
    return functions.updates.GetChannelDifferenceRequest(
        input_channel(viewer, channel), types.ChannelMessagesFilterEmpty(), pts, limit
    )


def messages_of(viewer: Account, channel: Channel, ids: list[int]) -> Any:
    """Return a request for a channel's messages by id."""
    return functions.channels.GetMessagesRequest(
        input_channel(viewer, channel), [types.InputMessageID(it) for it in ids]
    )


def message_ids(updates: list[Any]) -> list[tuple[int, int]]:
    """Return (random_id, message id) of each updateMessageID."""
    return [(it.random_id, it.id) for it in updates if isinstance(it, types.UpdateMessageID)]
