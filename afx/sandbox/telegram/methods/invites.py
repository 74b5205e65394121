"""Invite links: made, looked up, used.

Source: core.telegram.org/api/invites.
"""

from __future__ import annotations

import time
from typing import Any

from telethon.tl import functions, types

from afx.sandbox.errors import RpcError
from afx.sandbox.telegram import views
from afx.sandbox.telegram.methods.call import Call, method
from afx.sandbox.telegram.peers import Channel, Invite


@method(functions.messages.ExportChatInviteRequest)
def export_chat_invite(call: Call, request: Any) -> Any:
    """A new link to a chat; its creator may make one."""
    chat = call.peer(request.peer)
    if not isinstance(chat, Channel) or chat.creator != call.me.id:
        raise RpcError(400, "CHAT_ADMIN_REQUIRED")
    made = call.world.invite(chat.id, asks=bool(request.request_needed))
    return types.ChatInviteExported(
        f"https://t.me/+{made.hash}", call.me.id, made.date, request_needed=made.asks
    )


@method(functions.messages.CheckChatInviteRequest, bots=False)
def check_chat_invite(call: Call, request: Any) -> Any:
    """What a link leads to."""
    invite = _invite(call, request.hash)
    if call.me.id in invite.channel.members:
        return types.ChatInviteAlready(views.chat(invite.channel, call.me.id))
    return types.ChatInvite(
        invite.channel.title,
        types.PhotoEmpty(0),
        len(invite.channel.members),
        0,
        channel=True,
        broadcast=not invite.channel.megagroup,
        megagroup=invite.channel.megagroup,
        request_needed=invite.asks,
    )


@method(functions.messages.ImportChatInviteRequest, bots=False, frozen=False)
def import_chat_invite(call: Call, request: Any) -> Any:
    """Become a member, or ask to be let in."""
    invite = _invite(call, request.hash)
    if call.me.id in invite.channel.members:
        raise RpcError(400, "USER_ALREADY_PARTICIPANT")
    if invite.asks:
        invite.requests.add(call.me.id)
        raise RpcError(400, "INVITE_REQUEST_SENT")
    call.world.join(invite.channel, call.me)
    chat = views.chat(invite.channel, call.me.id)
    return types.messages.ChatInviteJoinResultOk(views.updates([], [], [chat], int(time.time())))


def _invite(call: Call, hash_: str) -> Invite:
    if not hash_:
        raise RpcError(400, "INVITE_HASH_EMPTY")
    found = call.world.invites.get(hash_)
    if found is None:
        raise RpcError(400, "INVITE_HASH_INVALID")
    if found.expired:
        raise RpcError(400, "INVITE_HASH_EXPIRED")
    if call.me.id in found.channel.banned:
        raise RpcError(400, "INVITE_HASH_EXPIRED")
    return found
