"""getState, getDifference and getChannelDifference.

Source: core.telegram.org/api/updates.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from telethon.tl import functions, types

from afx.sandbox.errors import RpcError
from afx.sandbox.telegram import mentions, views
from afx.sandbox.telegram.boxes import Box, Event, Message
from afx.sandbox.telegram.methods.call import Call, method
from afx.sandbox.telegram.peers import Account, Channel

_SLICE = 100
_CHANNEL_TIMEOUT = 30


def _state(account: Account) -> Any:
    return types.updates.State(account.box.pts, 0, datetime.now(UTC), account.seq, 0)


@method(functions.updates.GetStateRequest)
def get_state(call: Call, request: Any) -> Any:
    """The account's counters now."""
    return _state(call.me)


@method(functions.updates.GetDifferenceRequest)
def get_difference(call: Call, request: Any) -> Any:
    """What the account's own box holds after the client's pts.

    A state without pts or date is refused; a date of 0 counts as none. A difference of
    more than ``pts_total_limit`` is too long.
    Source: core.telegram.org/method/updates.getDifference.
    """
    me = call.me
    box = me.box
    _check_pts(call, box, request.pts)
    if request.date is None or request.date.timestamp() <= 0:
        raise RpcError(400, "DATE_EMPTY")
    most = request.pts_total_limit or 0
    if box.is_too_old(request.pts) or (most and request.pts + most < box.pts):
        return types.updates.DifferenceTooLong(box.pts)
    part, more = _from_replica(call, box, *box.since(request.pts, _SLICE))
    late = [types.UpdateChannelTooLong(channel) for channel in sorted(me.missed_channels)]
    if not part and not late:
        call.telegram.presence.note_caught_up(me.id)
        return types.updates.DifferenceEmpty(datetime.now(UTC), me.seq)
    new, other, named = _unpack(part, box, me.id)
    users, chats = mentions.mentioned(call.world, named, me.id)
    state = _state(me)
    state.pts = part[-1].pts if part else request.pts
    if more:
        return types.updates.DifferenceSlice(new, [], other, chats, users, state)
    me.missed_channels.clear()
    for update in late:
        chats.append(views.chat(call.world.channels[update.channel_id], me.id))
    call.telegram.presence.note_caught_up(me.id)
    return types.updates.Difference(new, [], other + late, chats, users, state)


@method(functions.updates.GetChannelDifferenceRequest)
def get_channel_difference(call: Call, request: Any) -> Any:
    """What a channel holds after the client's pts, at most ``limit`` events.

    Source: core.telegram.org/method/updates.getChannelDifference.
    """
    channel, me = call.channel(request.channel), call.me
    call.readable(channel)
    box = channel.box
    _check_pts(call, box, request.pts)
    limit = max(1, min(request.limit, _SLICE))
    if box.is_too_old(request.pts):
        return _channel_too_long(call, channel, limit)
    part, more = _from_replica(call, box, *box.since(request.pts, limit))
    if not part:
        return types.updates.ChannelDifferenceEmpty(
            request.pts, final=True, timeout=_CHANNEL_TIMEOUT
        )
    new, other, named = _unpack(part, box, me.id, channel)
    users, chats = mentions.mentioned(call.world, named, me.id)
    return types.updates.ChannelDifference(
        part[-1].pts, new, other, chats, users, final=not more, timeout=_CHANNEL_TIMEOUT
    )


def _from_replica(call: Call, box: Box, part: list[Event], more: bool) -> tuple[list[Event], bool]:
    """Leave out the newest events when the answer comes from a replica that lags."""
    lag = call.telegram.trouble.dice.lag()
    if not lag:
        return part, more
    seen = [it for it in part if it.pts <= box.pts - lag]
    return seen, more and len(seen) == len(part)


def _check_pts(call: Call, box: Box, pts: int) -> None:
    if pts == 0:
        raise RpcError(400, "PERSISTENT_TIMESTAMP_EMPTY")
    is_unknown = pts > box.pts and call.telegram.strictness.future_timestamps_refused
    if pts < 0 or is_unknown:
        raise RpcError(400, "PERSISTENT_TIMESTAMP_INVALID")


def _channel_too_long(call: Call, channel: Channel, limit: int) -> Any:
    newest = list(channel.box.messages.values())[-limit:]
    newest.reverse()
    users, chats = mentions.mentioned(call.world, newest, call.me.id)
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
        pts=None if call.telegram.strictness.dialogs_without_pts else channel.box.pts,
    )
    messages = [views.message(it, channel, out=it.sender == call.me.id) for it in newest]
    return types.updates.ChannelDifferenceTooLong(
        dialog, messages, chats, users, final=True, timeout=_CHANNEL_TIMEOUT
    )


def _unpack(
    events: list[Event], box: Box, viewer: int, channel: Channel | None = None
) -> tuple[list[Any], list[Any], list[Message]]:
    """Return events as (new messages, other updates, the messages they name).

    The ids of the viewer's own sends are among the updates, since the answers may be
    lost (api/updates, updateMessageID).
    """
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
            stored = box.messages[event.ids[0]]
            if stored.random_id is not None and stored.sender == viewer:
                other.append(types.UpdateMessageID(stored.id, stored.random_id))
        else:
            other.append(update)
    return new, other, named
