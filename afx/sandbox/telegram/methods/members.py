"""Members of channels and groups: who they are, bans, migration.

Source: core.telegram.org/api/channel and /api/rights.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from telethon.tl import functions, types

from afx.sandbox.errors import RpcError
from afx.sandbox.telegram import membership, views
from afx.sandbox.telegram.methods.call import Call, method
from afx.sandbox.telegram.peers import Account, Channel

_MOST = 200


@method(functions.channels.GetParticipantsRequest)
def get_participants(call: Call, request: Any) -> Any:
    """A page of a supergroup's members; of a channel only its creator may ask."""
    channel = call.channel(request.channel)
    call.readable(channel)
    if not channel.megagroup and call.me.id != channel.creator:
        raise RpcError(400, "CHAT_ADMIN_REQUIRED")
    members = sorted(channel.members)
    page = members[request.offset : request.offset + min(request.limit, _MOST)]
    users = [views.user(call.world.accounts[it], call.me.id) for it in page]
    found = [_participant(channel, it, call.me.id) for it in page]
    return types.channels.ChannelParticipants(len(members), found, [], users)


@method(functions.channels.GetParticipantRequest)
def get_participant(call: Call, request: Any) -> Any:
    """One member."""
    channel = call.channel(request.channel)
    call.readable(channel)
    account = _account(call, request.participant)
    if account.id not in channel.members:
        raise RpcError(400, "USER_NOT_PARTICIPANT")
    return types.channels.ChannelParticipant(
        _participant(channel, account.id, call.me.id), [], [views.user(account, call.me.id)]
    )


@method(functions.channels.EditBannedRequest)
def edit_banned(call: Call, request: Any) -> Any:
    """Remove, silence or readmit a member; the creator may.

    Source: core.telegram.org/method/channels.editBanned.
    """
    channel = call.channel(request.channel)
    if call.me.id != channel.creator:
        raise RpcError(400, "CHAT_ADMIN_REQUIRED")
    account = _account(call, request.participant)
    rights = request.banned_rights
    if rights.view_messages:
        membership.remove(call.pushes, channel, account, ban=True)
    elif account.id in channel.banned:
        channel.banned.discard(account.id)
    else:
        membership.mute(call.pushes, channel, account, on=bool(rights.send_messages))
    return views.updates([], [], [views.chat(channel, call.me.id)], int(time.time()))


@method(functions.messages.MigrateChatRequest)
def migrate_chat(call: Call, request: Any) -> Any:
    """Make a supergroup of a basic group."""
    group = call.world.groups.get(request.chat_id)
    if group is None or group.migrated_to or call.me.id not in group.members:
        raise RpcError(400, "CHAT_ID_INVALID")
    if call.me.id != group.creator:
        raise RpcError(400, "CHAT_ADMIN_REQUIRED")
    channel = membership.migrate(call.world, call.pushes, group)
    chats = [views.chat(it, call.me.id) for it in (group, channel)]
    return views.updates([], [], chats, int(time.time()))


def _account(call: Call, tl_peer: Any) -> Account:
    found = call.peer(tl_peer)
    if not isinstance(found, Account):
        raise RpcError(400, "PARTICIPANT_ID_INVALID")
    return found


def _participant(channel: Channel, account: int, viewer: int) -> Any:
    date = datetime.fromtimestamp(channel.date, UTC)
    if account == channel.creator:
        return types.ChannelParticipantCreator(account, types.ChatAdminRights())
    if account == viewer:
        return types.ChannelParticipantSelf(account, channel.creator, date)
    return types.ChannelParticipant(account, date)
