"""What clients of many kinds ask for when they start or open a chat.

The answers are whole and mostly empty: the sandbox has no profiles, no photos and no
settings. Source: the page of each method at core.telegram.org/method.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from telethon.tl import functions, types

from afx.sandbox.errors import RpcError
from afx.sandbox.telegram import views
from afx.sandbox.telegram.methods.call import Call, method
from afx.sandbox.telegram.peers import Account, Group


@method(functions.users.GetFullUserRequest)
def get_full_user(call: Call, request: Any) -> Any:
    """A user, with an empty profile."""
    account = call.peer(request.id)
    if not isinstance(account, Account):
        raise RpcError(400, "USER_ID_INVALID")
    full = types.UserFull(account.id, types.PeerSettings(), types.PeerNotifySettings(), 0)
    return types.users.UserFull(full, [], [views.user(account, call.me.id)])


@method(functions.channels.GetFullChannelRequest)
def get_full_channel(call: Call, request: Any) -> Any:
    """A channel, with its pts."""
    channel = call.channel(request.channel)
    call.readable(channel)
    full = types.ChannelFull(
        channel.id,
        "",
        0,
        0,
        0,
        types.PhotoEmpty(0),
        types.PeerNotifySettings(),
        [],
        channel.box.pts,
        participants_count=len(channel.members),
        slowmode_seconds=channel.slow_mode_seconds or None,
        migrated_from_chat_id=channel.migrated_from or None,
        migrated_from_max_id=0 if channel.migrated_from else None,
    )
    return types.messages.ChatFull(full, [views.chat(channel, call.me.id)], [])


@method(functions.messages.GetFullChatRequest)
def get_full_chat(call: Call, request: Any) -> Any:
    """A basic group, with its members."""
    group = call.peer(types.InputPeerChat(request.chat_id))
    if not isinstance(group, Group):
        raise RpcError(400, "CHAT_ID_INVALID")
    date = datetime.fromtimestamp(group.date, UTC)
    members = sorted(group.members)
    found = [
        types.ChatParticipantCreator(it)
        if it == group.creator
        else types.ChatParticipant(it, group.creator, date)
        for it in members
    ]
    full = types.ChatFull(
        group.id, "", types.ChatParticipants(group.id, found, 1), types.PeerNotifySettings()
    )
    users = [views.user(call.world.accounts[it], call.me.id) for it in members]
    return types.messages.ChatFull(full, [views.chat(group, call.me.id)], users)


@method(functions.contacts.GetContactsRequest, bots=False)
def get_contacts(call: Call, request: Any) -> Any:
    """No account of the sandbox has contacts."""
    return types.contacts.Contacts([], 0, [])


@method(functions.help.GetAppConfigRequest, login=False)
def get_app_config(call: Call, request: Any) -> Any:
    """No settings: a client takes its defaults; a frozen account is told until when it is.

    Source: core.telegram.org/api/auth, "Frozen accounts".
    """
    if call.account is None or call.account.health != "frozen":
        return types.help.AppConfig(1, types.JsonObject([]))
    now = float(int(time.time()))
    values = {
        "freeze_since_date": types.JsonNumber(now),
        "freeze_until_date": types.JsonNumber(now + 30 * 86_400),
        "freeze_appeal_url": types.JsonString("https://t.me/SpamBot?start=freeze"),
    }
    found = [types.JsonObjectValue(key, value) for key, value in values.items()]
    return types.help.AppConfig(1, types.JsonObject(found))
