"""What is checked before a message is sent."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta

from afx.sandbox.errors import RpcError
from afx.sandbox.telegram.methods.call import Call
from afx.sandbox.telegram.peers import Account, Channel, Peer

_SENT_AT_ONCE = timedelta(seconds=10)


def check_schedule(date: datetime | None) -> None:
    """Refuse what must be sent later: the sandbox has no schedule queue.

    What is due within 10 s is sent at once (core.telegram.org/api/scheduled-messages).
    """
    if date is not None and date - datetime.now(UTC) >= _SENT_AT_ONCE:
        raise RpcError(400, "SCHEDULE_DATE_INVALID")


def check(call: Call, peer: Peer, random_ids: list[int]) -> None:
    """Refuse a send that the account may not make now."""
    me = call.me
    if me.health == "limited":
        raise RpcError(400, "PEER_FLOOD")
    if isinstance(peer, Account) and peer.premium_only and peer is not me:
        raise RpcError(406, "PRIVACY_PREMIUM_REQUIRED")
    if isinstance(peer, Channel):
        call.readable(peer)
        if peer.stars and me.id != peer.creator:
            raise RpcError(403, f"ALLOW_PAYMENT_REQUIRED_{peer.stars}")
        if me.id not in peer.posters:
            raise RpcError(403, "CHAT_WRITE_FORBIDDEN")
        if me.id in peer.muted:
            raise RpcError(400, "USER_BANNED_IN_CHANNEL")
    chat = chat_of(peer)
    if error := call.telegram.trouble.flood_error(me.id, chat):
        raise RpcError(420, error)
    if isinstance(peer, Channel) and peer.slow_mode_seconds:
        _check_slow_mode(peer, me.id)
    running = me.sending
    if not call.telegram.strictness.repeats_return_original:
        running = running | me.sent.keys()
    if running and any((chat, random_id) in running for random_id in random_ids):
        raise RpcError(500, "RANDOM_ID_DUPLICATE")


def _check_slow_mode(channel: Channel, account: int) -> None:
    """Refuse a send that comes too soon (core.telegram.org/method/channels.toggleSlowMode)."""
    if account == channel.creator:
        return
    now = time.monotonic()
    wait = channel.last_sends.get(account, -math.inf) + channel.slow_mode_seconds - now
    if wait > 0:
        raise RpcError(420, f"SLOWMODE_WAIT_{math.ceil(wait)}")
    channel.last_sends[account] = now


def chat_of(peer: Peer) -> int:
    """Return the marked id of a peer."""
    return peer.id if isinstance(peer, Account) else peer.marked
