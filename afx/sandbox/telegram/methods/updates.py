"""getState, getDifference and getChannelDifference.

Source: core.telegram.org/api/updates.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from telethon.tl import functions, types

from afx.sandbox.errors import RpcError
from afx.sandbox.telegram import views
from afx.sandbox.telegram.boxes import Box, Event, Message
from afx.sandbox.telegram.methods.call import Call, method
from afx.sandbox.telegram.peers import Account, Channel

_SLICE = 100
_TOO_LONG = 50_000
_CHANNEL_TIMEOUT = 30


def _state(account: Account) -> Any:
    return types.updates.State(account.box.pts, 0, datetime.now(UTC), 0, 0)


@method(functions.updates.GetStateRequest)
def get_state(call: Call, request: Any) -> Any:
    """The account's counters now."""
    return _state(call.me)


@method(functions.updates.GetDifferenceRequest)
def get_difference(call: Call, request: Any) -> Any:
    """What the account's own box holds after the client's pts.

    The last part holds the ids of recent own sends, whose answers may be lost.
    A state without pts or date is refused, as core.telegram.org/method/updates.getDifference
    says; a date of 0 counts as none.
    """
    me = call.me
    _check_pts(request.pts)
    if request.date is None or request.date.timestamp() <= 0:
        raise RpcError(400, "DATE_EMPTY")
    events = me.box.since(request.pts)
    if events is None or len(events) > _TOO_LONG:
        return types.updates.DifferenceTooLong(me.box.pts)
    sent = [types.UpdateMessageID(message, number) for number, message in me.recent_sends()]
    late = [types.UpdateChannelTooLong(channel) for channel in sorted(me.missed_channels)]
    if not events and not late and not sent:
        call.telegram.presence.note_caught_up(me.id)
        return types.updates.DifferenceEmpty(datetime.now(UTC), 0)
    part, more = events[:_SLICE], len(events) > _SLICE
    new, other, named = _unpack(part, me.box, me.id)
    users, chats = views.mentioned(call.world, named, me.id)
    state = _state(me)
    if more:
        state.pts = part[-1].pts
        return types.updates.DifferenceSlice(new, [], other, chats, users, state)
    me.missed_channels.clear()
    for update in late:
        chats.append(views.chat(call.world.channels[update.channel_id], me.id))
    call.telegram.presence.note_caught_up(me.id)
    return types.updates.Difference(new, [], other + sent + late, chats, users, state)


@method(functions.updates.GetChannelDifferenceRequest)
def get_channel_difference(call: Call, request: Any) -> Any:
    """What a channel holds after the client's pts, at most ``limit`` events.

    Source: core.telegram.org/method/updates.getChannelDifference.
    """
    channel, me = call.channel(request.channel), call.me
    if me.id not in channel.members:
        raise RpcError(400, "CHANNEL_PRIVATE")
    _check_pts(request.pts)
    limit = max(1, min(request.limit, _SLICE))
    box = channel.box
    events = box.since(request.pts)
    if events is None or len(events) > _TOO_LONG:
        return _channel_too_long(call, channel, limit)
    if not events:
        return types.updates.ChannelDifferenceEmpty(box.pts, final=True, timeout=_CHANNEL_TIMEOUT)
    part, more = events[:limit], len(events) > limit
    new, other, named = _unpack(part, box, me.id, channel)
    users, chats = views.mentioned(call.world, named, me.id)
    return types.updates.ChannelDifference(
        part[-1].pts, new, other, chats, users, final=not more, timeout=_CHANNEL_TIMEOUT
    )


def _check_pts(pts: int) -> None:
    if pts == 0:
        raise RpcError(400, "PERSISTENT_TIMESTAMP_EMPTY")
    if pts < 0:
        raise RpcError(400, "PERSISTENT_TIMESTAMP_INVALID")


def _channel_too_long(call: Call, channel: Channel, limit: int) -> Any:
    newest = list(channel.box.messages.values())[-limit:]
    newest.reverse()
    users, chats = views.mentioned(call.world, newest, call.me.id)
    if not chats:
        chats = [views.chat(channel, call.me.id)]
    top = newest[0].id if newest else 0
    dialog = types.Dialog(
        views.peer(channel.marked),
        top,
        0,
        0,
        0,
        0,
        0,
        0,
        types.PeerNotifySettings(),
        pts=channel.box.pts,
    )
    messages = [views.message(it, channel, out=it.sender == call.me.id) for it in newest]
    return types.updates.ChannelDifferenceTooLong(
        dialog, messages, chats, users, final=True, timeout=_CHANNEL_TIMEOUT
    )


def _unpack(
    events: list[Event], box: Box, viewer: int, channel: Channel | None = None
) -> tuple[list[Any], list[Any], list[Message]]:
    """Return events as (new messages, other updates, the messages they name)."""
    new: list[Any] = []
    other: list[Any] = []
    named: list[Message] = []
    for event in events:
        update = views.update(event, box, viewer, channel)
        if update is None:
            continue
        if event.kind in ("new", "edit"):
            named.append(box.messages[event.ids[0]])
        if event.kind == "new":
            new.append(update.message)
        else:
            other.append(update)
    return new, other, named
