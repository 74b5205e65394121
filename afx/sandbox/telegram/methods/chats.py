"""Users, channels and groups: by id, by name, making and joining them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from telethon.tl import functions, types

from afx.sandbox.errors import RpcError
from afx.sandbox.telegram import mentions, views
from afx.sandbox.telegram.boxes import Message
from afx.sandbox.telegram.methods.call import Call, method
from afx.sandbox.telegram.peers import Account, Channel, Group, Peer


@method(functions.users.GetUsersRequest)
def get_users(call: Call, request: Any) -> Any:
    """Users by id."""
    found = []
    for tl_user in request.id:
        peer = call.peer(tl_user)
        if isinstance(peer, Account):
            found.append(views.user(peer, call.me.id))
    return _vector(found)


@method(functions.channels.GetChannelsRequest)
def get_channels(call: Call, request: Any) -> Any:
    """Channels by id."""
    found = [views.chat(call.channel(it), call.me.id) for it in request.id]
    return types.messages.Chats(found)


@method(functions.messages.GetChatsRequest)
def get_chats(call: Call, request: Any) -> Any:
    """Basic groups by id."""
    found = []
    for number in request.id:
        group = call.world.groups.get(number)
        if group is None or call.me.id not in group.members:
            raise RpcError(400, "CHAT_ID_INVALID")
        found.append(views.chat(group, call.me.id))
    return types.messages.Chats(found)


@method(functions.contacts.ResolveUsernameRequest)
def resolve_username(call: Call, request: Any) -> Any:
    """A public name's owner."""
    found = call.world.usernames.get(request.username.lstrip("@").lower())
    if found is None:
        raise RpcError(400, "USERNAME_NOT_OCCUPIED")
    users, chats = mentions.split([found], call.me.id)
    number = found.id if isinstance(found, Account) else found.marked
    return types.contacts.ResolvedPeer(views.peer(number), chats, users)


@method(functions.contacts.ResolvePhoneRequest, bots=False)
def resolve_phone(call: Call, request: Any) -> Any:
    """A phone's owner."""
    found = call.world.phones.get(request.phone.lstrip("+"))
    if found is None:
        raise RpcError(400, "PHONE_NOT_OCCUPIED")
    return types.contacts.ResolvedPeer(views.peer(found.id), [], [views.user(found, call.me.id)])


@method(functions.messages.GetDialogsRequest, bots=False)
def get_dialogs(call: Call, request: Any) -> Any:
    """All chats of the account, newest first; never more than one page."""
    dialogs, messages, peers = [], [], []
    for number in reversed(call.me.dialogs):
        peer = call.world.find(number)
        if peer is None:
            continue
        peers.append(peer)
        dialog, top = _dialog(call, peer)
        dialogs.append(dialog)
        if top:
            channel = peer if isinstance(peer, Channel) else None
            messages.append(views.message(top, channel, out=top.sender == call.me.id))
    users, chats = mentions.split(peers, call.me.id)
    return types.messages.Dialogs(dialogs, messages, chats, users)


@method(functions.messages.GetPeerDialogsRequest, bots=False)
def get_peer_dialogs(call: Call, request: Any) -> Any:
    """Some chats of the account, with their pts."""
    peers = [call.peer(it.peer) for it in request.peers]
    dialogs = [_dialog(call, it)[0] for it in peers]
    users, chats = mentions.split(peers, call.me.id)
    state = types.updates.State(call.me.box.pts, 0, datetime.now(UTC), 0, 0)
    return types.messages.PeerDialogs(dialogs, [], chats, users, state)


@method(functions.channels.CreateChannelRequest, bots=False)
def create_channel(call: Call, request: Any) -> Any:
    """A new channel, supergroup or forum of the asking account.

    Source: core.telegram.org/method/channels.createChannel.
    """
    channel = call.world.add_channel(
        request.title,
        creator=call.me.id,
        megagroup=bool(request.megagroup),
        forum=bool(request.forum),
    )
    return _with_chat(channel, call)


@method(functions.messages.CreateChatRequest, bots=False)
def create_chat(call: Call, request: Any) -> Any:
    """A new basic group of the asking account and some others."""
    members = [call.peer(it) for it in request.users]
    group = call.world.add_group(
        request.title, call.me.id, [it.id for it in members if isinstance(it, Account)]
    )
    return types.messages.InvitedUsers(_with_chat(group, call), [])


@method(functions.channels.JoinChannelRequest, bots=False, frozen=False)
def join_channel(call: Call, request: Any) -> Any:
    """Become a member."""
    channel = call.channel(request.channel)
    call.world.join(channel, call.me)
    return types.messages.ChatInviteJoinResultOk(_with_chat(channel, call))


@method(functions.channels.LeaveChannelRequest)
def leave_channel(call: Call, request: Any) -> Any:
    """Stop being a member."""
    channel = call.channel(request.channel)
    if call.me.id not in channel.members:
        raise RpcError(400, "USER_NOT_PARTICIPANT")
    channel.members.discard(call.me.id)
    channel.posters.discard(call.me.id)
    call.me.dialogs.pop(channel.marked, None)
    return _with_chat(channel, call)


def _dialog(call: Call, peer: Peer) -> tuple[Any, Message | None]:
    """Return a chat as a TL dialog, and its newest message."""
    if isinstance(peer, Channel):
        without = call.telegram.strictness.dialogs_without_pts
        number, pts = peer.marked, None if without else peer.box.pts
        newest_first: Iterable[Message] = reversed(peer.box.messages.values())
    else:
        number, pts = (peer.marked if isinstance(peer, Group) else peer.id), None
        newest_first = (it for it in reversed(call.me.box.messages.values()) if it.chat == number)
    top = next(iter(newest_first), None)
    dialog = types.Dialog(
        views.peer(number),
        top.id if top else 0,
        0,
        0,
        0,
        0,
        0,
        0,
        types.PeerNotifySettings(),
        pts=pts,
    )
    return dialog, top


def _with_chat(peer: Channel | Group, call: Call) -> Any:
    return views.updates([], [], [views.chat(peer, call.me.id)], int(time.time()))


def _vector(items: list[Any]) -> views.Raw:
    body = b"".join(bytes(it) for it in items)
    return views.Raw(b"\x15\xc4\xb5\x1c" + len(items).to_bytes(4, "little") + body)
