"""From what Telegram pushes to the messages of a session's source chats.

Takes raw updates in pts order, box by box (core.telegram.org/api/updates). What a gap hides,
and what was missed, comes with differences (``difference_reader.py``). Nothing is handed on
twice in order, nothing is skipped in silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import structlog
from telethon import utils
from telethon.tl import types

from afx.forwarding.pipeline import Incoming
from afx.reasons import TroubleReason
from afx.telegram.boxes import Box
from afx.telegram.changes import change_of, event_of
from afx.telegram.client import AccountClient
from afx.telegram.difference_reader import MOST_OPEN, DifferenceReader
from afx.telegram.errors import logged
from afx.telegram.messages import incoming, incoming_short
from afx.telegram.mtproto_state import UpdatesMissed
from afx.telegram.peers import Peers
from afx.telegram.reading import Event, Owner, Sink

_GAP_SECONDS = 0.5
"""How long a missing update may come later than the next ones (api/updates)."""
_LISTS = (types.Updates, types.UpdatesCombined)
_SHORT_MESSAGES = (types.UpdateShortMessage, types.UpdateShortChatMessage)

log = structlog.get_logger()


class UpdateReader:
    """The update boxes of one session."""

    __slots__ = ("_differences", "_gaps", "_owner", "_sink", "account", "channels", "received")

    def __init__(self, client: AccountClient, peers: Peers, sink: Sink, owner: Owner) -> None:
        self._sink = sink
        self._owner = owner
        self.received = 0
        """How many packets of updates have arrived."""
        # Until they have a position and are up to date, boxes only collect.
        self.account = Box(0, 0, 0, syncing=True)
        self.channels: dict[int, Box] = {}
        self._gaps: dict[int, asyncio.TimerHandle] = {}
        """channel → when a difference is fetched unless the missing update comes."""
        self._differences = DifferenceReader(
            client,
            peers,
            sink,
            owner,
            account=self.account,
            channels=self.channels,
            offer_again=self._offer_waiting,
        )

    def boxes(self) -> Iterable[Box]:
        """Return the account's box and those of its source channels."""
        return (self.account, *self.channels.values())

    def last_settled(self, chat: int) -> int:
        """Return the newest settled message id of a chat, 0 for none; ``chat`` is marked."""
        bare, kind = utils.resolve_id(chat)
        box = self.channels.get(bare) if kind is types.PeerChannel else self.account
        return box.last_ids.get(chat, 0) if box else 0

    def set_account(self, pts: int, qts: int, date: int) -> None:
        """Begin the account's box there; ``date`` is in Unix seconds, and not 0."""
        self.account.pts = self.account.cursor = pts
        self._differences.set_state(qts, date)

    def settled_state(self) -> tuple[int, int]:
        """Return the (qts, Unix date) that belong to the account's cursor, or older ones."""
        return self._differences.settled_state()

    # --- differences --------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether no difference is being fetched, and no missing update is awaited."""
        return self._differences.is_idle and not self._gaps

    def sync_later(self, box: Box) -> None:
        """Fetch a box's difference in the background, unless that is under way."""
        self._differences.sync_later(box)

    def start_catch_up(self) -> None:
        """Fetch all that was missed, in the background; live updates wait meanwhile."""
        self._forget_gaps()
        self._differences.start_catch_up()

    async def stop(self) -> None:
        """End all fetching; none begins before ``start_catch_up``."""
        self._forget_gaps()
        await self._differences.stop()

    # --- live updates -----------------------------------------------------------

    def on_updates(self, update: Any) -> None:
        """Take what the server pushed, or what an own request answered.

        What cannot be handled is reported, and asked for again as a difference.
        """
        self.received += 1
        try:
            self._dispatch(update)
        except Exception as error:
            kind = type(update).__name__
            log.error("update_failed", kind=kind, error=logged(error))
            self._owner.trouble(
                TroubleReason.INTERNAL_ERROR, f"{kind} failed: {type(error).__name__}"
            )
            for box in self.boxes():
                box.failures = max(1, box.failures)
                self.sync_later(box)

    def _dispatch(self, update: Any) -> None:
        own = getattr(update, "_self_outgoing", False)
        if isinstance(update, _LISTS):
            for each in update.updates:
                self._on_update(each, own)
        elif isinstance(update, types.UpdateShort):
            if own and _is_made_up(update.update):
                return
            self._on_update(update.update, own)
        elif isinstance(update, _SHORT_MESSAGES):
            message = incoming_short(update)
            self._offer(self.account, update.pts, update.pts_count, message, own)
        elif isinstance(update, types.UpdateShortSentMessage):
            self._offer(self.account, update.pts, update.pts_count, None, True)
        elif isinstance(update, types.UpdatesTooLong):
            self.sync_later(self.account)
            return
        elif isinstance(update, types.NewSessionCreated | UpdatesMissed):
            # What was pushed to the session before it may be lost
            # (mtproto/service_messages, "New Session Creation Notification").
            for box in self.boxes():
                self.sync_later(box)
            return
        else:
            return
        self._differences.note_date(update.date)

    def _on_update(self, update: Any, own: bool) -> None:
        if isinstance(update, types.UpdateNewChannelMessage):
            channel = getattr(update.message.peer_id, "channel_id", 0)
            box = self.channels.get(channel)
            if box:
                event = event_of(update.message)
                if own and isinstance(event, Incoming):
                    self._sink.note_own(event)
                self._offer(box, update.pts, update.pts_count, event, own)
        elif isinstance(update, types.UpdateNewMessage):
            message = incoming(update.message)
            if own and message:
                self._sink.note_own(message)
            self._offer(self.account, update.pts, update.pts_count, message, own)
        elif isinstance(update, types.UpdateChannelTooLong):
            if box := self.channels.get(update.channel_id):
                self.sync_later(box)
        elif isinstance(update, types.UpdateMessageID):
            if not own:
                self._sink.announce(update.random_id, update.id)
        elif (pts := getattr(update, "pts", None)) and hasattr(update, "pts_count"):
            channel = getattr(update, "channel_id", 0) or getattr(
                getattr(getattr(update, "message", None), "peer_id", None), "channel_id", 0
            )
            box = self.channels.get(channel) if channel else self.account
            if box:
                self._offer(box, pts, update.pts_count, change_of(update), own)

    # --- the order of a box ---------------------------------------------------------

    def _offer(self, box: Box, pts: int, count: int, event: Event, own: bool) -> None:
        """Hand an update on if it is the next one; let it wait after a gap."""
        if box.syncing:
            box.put_aside(pts, count, event, own)
            return
        verdict = box.check(pts, count)
        is_full = len(box.tickets) >= MOST_OPEN
        if verdict == "next" and not is_full:
            self._sink.take(box, pts, event, own)
            if box.waiting:
                self._offer_after_gap(box)
        elif verdict != "old":
            box.put_aside(pts, count, event, own)
            if is_full:
                self.sync_later(box)
            else:
                self._await_missing(box)

    def _await_missing(self, box: Box) -> None:
        """Fetch a difference, unless the missing update comes soon."""
        if box.channel not in self._gaps:
            loop = asyncio.get_running_loop()
            self._gaps[box.channel] = loop.call_later(_GAP_SECONDS, self._end_gap, box)

    def _end_gap(self, box: Box) -> None:
        self._gaps.pop(box.channel, None)
        if box.waiting:
            self.sync_later(box)

    def _forget_gaps(self) -> None:
        for timer in self._gaps.values():
            timer.cancel()
        self._gaps.clear()

    def _offer_after_gap(self, box: Box) -> None:
        """Offer what waited for a missing update that has come."""
        waiting, box.waiting = sorted(box.waiting, key=lambda it: it[0]), []
        for each in waiting:
            self._offer(box, *each)
        if not box.waiting and (timer := self._gaps.pop(box.channel, None)):
            timer.cancel()

    def _offer_waiting(self, box: Box) -> None:
        """Offer what arrived while a difference was fetched."""
        waiting, box.waiting = sorted(box.waiting, key=lambda it: it[0]), []
        # An update that still leaves a gap waits for the next try, which is later.
        last = box.pts
        for pts, count, _message, _own in waiting:
            if pts - count > last:
                box.failures += 1
                break
            last = max(last, pts)
        else:
            box.failures = 0
        for each in waiting:
            self._offer(box, *each)


def _is_made_up(update: Any) -> bool:
    """Return whether an own update is Telethon's for an answer with a pts (affectedMessages).

    It is said to be of the account's box also where a channel's messages were deleted, whose
    pts is another one. What such an answer hides of the account's own box comes as a gap.
    """
    return isinstance(update, types.UpdateDeleteMessages) and not update.messages
