"""The requests by which a session of a pool carries out an order with its own account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from telethon import errors

from afx.forwarding.pipeline import Delivery
from afx.forwarding.whole_albums import units
from afx.node.message_source import MessageSource, ToldToWaitError, UnknownChatError
from afx.node.pool_orders import UNFIT, Order
from afx.node.session import HostedSession
from afx.reasons import DeadReason
from afx.telegram.change_sender import send_changes
from afx.telegram.errors import closes_chat, error_name, refuses_chat
from afx.telegram.sender import Outcome, is_forward, send

NOT_CONNECTED = Outcome("wait", seconds=15.0, reason="it is not connected to Telegram")
_NEXT = Outcome("again", reason="it is sent next")
_GONE = Outcome(
    "refused", reason="it was deleted before it could be sent", dead=DeadReason.MESSAGE_GONE
)


async def carry_out(session: HostedSession, order: Order) -> list[Outcome]:
    """Send, or change, what an order says; returns the outcome of each delivery.

    A reason that begins with ``UNFIT`` says that another account may be able to. Raises
    ConnectionError when there may have been no answer, and the error of a lost login.
    """
    batch, count = list(order.deliveries), len(order.deliveries)
    waits = session.forwarder.waits
    if held := session.wait_left(order.destination):
        return [Outcome("wait", seconds=held, reason="it has to wait")] * count
    batch = _within(batch, waits.room(order.destination, count))
    if not batch:
        return [Outcome("wait", seconds=1.0, reason="its budget is used up")] * count
    for chat in _chats(batch):
        if not await knows(session, chat):
            return [Outcome("refused", reason=f"{UNFIT}{chat} is not known to it")] * count
    refused: Outcome | None = None
    if order.files:
        batch, refused = await _with_files(session, batch, order.files)
    outcomes = await _make(session, batch, singly=order.singly) if batch else []
    if refused is not None and all(it.result in ("sent", "known") for it in outcomes):
        outcomes.append(refused)
    return outcomes + [_NEXT] * (count - len(outcomes))


async def _make(
    session: HostedSession, batch: Sequence[Delivery], *, singly: bool
) -> list[Outcome]:
    destination, peer = batch[0].destination, session.peers.input_peer
    is_send = batch[0].op == "send"
    session.forwarder.waits.take(destination, len(batch))
    make = send if is_send else send_changes
    outcomes = await make(session.client, batch, peer, singly=singly)
    if wait := next((it for it in outcomes if it.result == "wait"), None):
        session.forwarder.told_to_wait(destination, wait)
    return [_judged(it) if is_send else it for it in outcomes]


def _judged(outcome: Outcome) -> Outcome:
    """Tell what says something of the account, and not of the message."""
    if outcome.result == "refused" and closes_chat(outcome.reason):
        return replace(outcome, reason=f"{UNFIT}{outcome.reason}")
    return outcome


def _within(batch: list[Delivery], room: int) -> list[Delivery]:
    """Return the first of a batch, as many as may be sent now: whole albums."""
    if room >= len(batch) or not room:
        return batch if room else []
    kept: list[Delivery] = []
    for unit in units(batch, lambda it: it):
        if kept and len(kept) + len(unit) > room:
            break
        kept += unit
    return kept


def _chats(batch: Sequence[Delivery]) -> list[int]:
    """Return the chats that requests name."""
    sources = (it.source for it in batch if it.op == "send" and is_forward(it))
    return list(dict.fromkeys((batch[0].destination, *sources)))


async def knows(session: HostedSession, chat: int) -> bool:
    """Return whether an account knows a chat; it looks for one that it does not know yet."""
    try:
        session.peers.input_peer(chat)
    except ValueError:
        try:
            await session.peers.learn(chat, session.known_chats)
        except ValueError:
            return False
    return True


async def _with_files(
    session: HostedSession, batch: list[Delivery], files: frozenset[int]
) -> tuple[list[Delivery], Outcome | None]:
    """Read the messages whose files are sent; their references are the account's own.

    Returns those before the first one that could not be read, and its outcome.
    """
    source = MessageSource(
        session.client, session.peers, session.forwarder.waits, session.note_wait
    )
    wanted: dict[int, list[int]] = {}
    for place in sorted(files):
        if place < len(batch):
            wanted.setdefault(batch[place].source, []).append(batch[place].message)
    found: dict[tuple[int, int], Any] = {}
    refused: dict[int, Outcome] = {}
    for chat, ids in wanted.items():
        try:
            if await knows(session, chat):
                found |= {(chat, it.id): it for it in await source.fetch(chat, ids)}
            else:
                refused[chat] = Outcome("refused", reason=f"{UNFIT}{chat} is not known to it")
        except ToldToWaitError as error:
            refused[chat] = Outcome("wait", seconds=error.seconds, reason="it has to wait")
        except UnknownChatError as error:
            refused[chat] = Outcome("refused", reason=f"{UNFIT}{error}")
        except errors.RPCError as error:
            if not refuses_chat(error):
                raise
            refused[chat] = Outcome("refused", reason=f"{UNFIT}{error_name(error)}")
    for place in sorted(files):
        if place >= len(batch):
            continue
        it = batch[place]
        message = found.get((it.source, it.message))
        if message is None:
            return batch[:place], refused.get(it.source, _GONE)
        if it.op == "edit":
            it.whole = message
        else:
            it.raw = message
    return batch, None
