"""Brings a session's boxes up to date with differences, in the background.

Each box is read by itself: what hinders one does not stop the others. A box that a
difference does not help is asked for again later, and later each time. Where Telegram says
that a cursor is too old, the messages are read instead (core.telegram.org/api/updates).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum

import structlog
from telethon import errors

from afx.owned_tasks import OwnedTasks
from afx.reasons import TroubleReason
from afx.telegram.boxes import Box
from afx.telegram.changes import event_of
from afx.telegram.client import AccountClient
from afx.telegram.differences import (
    ID_RANGE,
    Part,
    account_difference,
    channel_difference,
    channel_messages,
    marked_channel,
    messages_after,
)
from afx.telegram.errors import error_name, is_for_people, is_lost_login, logged
from afx.telegram.peers import Peers
from afx.telegram.reading import Owner, Sink

MOST_OPEN = 2000
"""Updates of a session in flight; beyond that a box reads on only up to its share."""
_SHARE = 100
_ROOM_SECONDS, _ROOM_MAX = 0.05, 1.0
_BACKOFF_SECONDS, _BACKOFF_MAX = 0.5, 60.0
_EPOCH = datetime.fromtimestamp(0, UTC)

log = structlog.get_logger()


class _Outcome(Enum):
    """What became of one try to bring a box up to date."""

    DONE = "done"
    FAILED = "failed"
    LOST = "lost"
    """The connection or the login is lost: all boxes catch up after a reconnect."""


class DifferenceReader:
    """Fetches the differences of one session's boxes."""

    __slots__ = (
        "_account",
        "_channels",
        "_client",
        "_date",
        "_offer_again",
        "_owner",
        "_peers",
        "_qts",
        "_settled",
        "_sink",
        "_stopped",
        "_tasks",
    )

    def __init__(
        self,
        client: AccountClient,
        peers: Peers,
        sink: Sink,
        owner: Owner,
        *,
        account: Box,
        channels: Mapping[int, Box],
        offer_again: Callable[[Box], None],
    ) -> None:
        """``offer_again`` takes what a box has put aside, once it is up to date."""
        self._client = client
        self._peers = peers
        self._sink = sink
        self._owner = owner
        self._account = account
        self._channels = channels
        self._offer_again = offer_again
        self._tasks = OwnedTasks()
        self._stopped = False
        self._qts = 0
        self._date = _EPOCH
        self._settled = (0, 0)

    # --- the account's state -------------------------------------------------------

    def set_state(self, qts: int, date: int) -> None:
        """Begin there; ``date`` is in Unix seconds, and not 0."""
        self._qts, self._date = qts, datetime.fromtimestamp(date, UTC)
        self._settled = (qts, date)

    def note_date(self, date: datetime | None) -> None:
        """Note the date of what the server sent."""
        if date and date > self._date:
            self._date = date

    def settled_state(self) -> tuple[int, int]:
        """Return the (qts, Unix date) that belong to the account's cursor, or older ones."""
        box = self._account
        if not (box.tickets or box.waiting or box.syncing):
            self._settled = (self._qts, int(self._date.timestamp()))
        return self._settled

    # --- when to fetch -------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether no difference is being fetched."""
        return not self._tasks

    def sync_later(self, box: Box) -> None:
        """Fetch a box's difference in the background, unless that is under way.

        After failures it waits first: longer with each of them.
        """
        if box.syncing or self._stopped:
            return
        box.syncing = True
        self._tasks.begin(self._sync_in_background(box))

    def start_catch_up(self) -> None:
        """Fetch all that was missed, in the background; live updates wait meanwhile."""
        self._stopped = False
        channels = list(self._channels.values())
        for box in (self._account, *channels):
            box.syncing = True
        self._tasks.begin(self._catch_up(channels))

    async def _catch_up(self, channels: Sequence[Box]) -> None:
        """Bring these boxes up to date, the account first; a later one is fetched by itself.

        The account's difference also announces the sends whose answers were lost,
        which the channels' replays need. An account's difference that is refused does
        not keep the channels from being read.
        """
        outcome = await self._try_sync(self._account)
        if outcome is _Outcome.LOST:
            return
        self._sink.make_room()
        for box in channels:
            if self._channels.get(box.channel) is box:
                self._tasks.begin(self._sync_in_background(box))
        if outcome is _Outcome.FAILED:
            await self._sync_in_background(self._account)

    async def stop(self) -> None:
        """End all fetching; none begins before ``start_catch_up``."""
        self._stopped = True
        await self._tasks.end()

    # --- one box -------------------------------------------------------------------

    async def _sync_in_background(self, box: Box) -> None:
        while True:
            if box.failures:
                await asyncio.sleep(_backoff(box.failures))
            if await self._try_sync(box) is not _Outcome.FAILED:
                return

    async def _try_sync(self, box: Box) -> _Outcome:
        """Bring a box up to date once; what hinders it is reported."""
        try:
            await self._sync(box)
            return _Outcome.DONE
        except (OSError, EOFError) as error:
            self._owner.lost(error)
            return _Outcome.LOST
        except errors.RPCError as error:
            if is_lost_login(error):
                self._owner.lost(error)
                return _Outcome.LOST
            self._owner.trouble(TroubleReason.DIFFERENCE_REFUSED, error_name(error))
        except Exception as error:
            log.error("difference_failed", channel=box.channel, error=logged(error))
            self._owner.trouble(
                TroubleReason.INTERNAL_ERROR, f"a difference failed: {type(error).__name__}"
            )
        box.failures += 1
        box.syncing = True
        return _Outcome.FAILED

    async def _sync(self, box: Box) -> None:
        """Bring a box up to date, then take what arrived meanwhile."""
        tries = idle = 0
        try:
            while True:
                await self._room(box)
                before = box.pts
                try:
                    part = await self._fetch(box)
                except (errors.FloodError, errors.ServerError, errors.TimedOutError) as error:
                    tries += 1
                    seconds = getattr(error, "seconds", None)
                    if seconds is None and tries == 3:
                        self._owner.trouble(TroubleReason.DIFFERENCE_REFUSED, error_name(error))
                    await asyncio.sleep(max(1.0, float(seconds or _backoff(tries))))
                    continue
                except (errors.ChannelPrivateError, errors.ChannelInvalidError) as error:
                    self._owner.source_closed(box.channel, error_name(error))
                    return
                tries = 0
                await self._apply(box, part)
                if part.final and not box.overflowed:
                    break
                box.overflowed = False
                # A part that is not the last one and leads nowhere would be asked for
                # without an end.
                idle = 0 if box.pts > before else idle + 1
                if idle:
                    await asyncio.sleep(_backoff(idle))
        finally:
            box.syncing = False
        self._offer_again(box)

    async def _fetch(self, box: Box) -> Part:
        if not box.channel:
            return await account_difference(self._client, box.pts, self._qts, self._date)
        channel = self._peers.input_peer(marked_channel(box.channel))
        return await channel_difference(self._client, channel, box.pts)

    async def _apply(self, box: Box, part: Part) -> None:
        for random_id, message_id in part.announced:
            self._sink.announce(random_id, message_id)
        if part.is_too_long:
            if box.channel:
                await self._read_range(box, part.top)
            else:
                for chat in list(box.last_ids):
                    await self._read_history(box, chat)
        for message in part.messages:
            self._sink.take(box, 0, event_of(message), False)
        for change in part.changes:
            self._sink.take(box, 0, change, False)
        if part.pts:
            self._sink.take(box, part.pts, None, False)
        if not box.channel:
            self._qts = part.qts
            self.note_date(part.date)
        for channel in part.behind:
            if behind := self._channels.get(channel):
                self.sync_later(behind)

    async def _read_range(self, box: Box, top: int) -> None:
        """Read a channel from its last settled message to ``top``: its updates are gone."""
        chat = marked_channel(box.channel)
        newest = _newest(box, chat)
        peer = self._peers.input_peer(chat)
        while newest < top:
            await self._room(box)
            last = min(newest + ID_RANGE, top)
            for message in await channel_messages(self._client, peer, newest + 1, last):
                self._sink.take(box, 0, event_of(message), False)
            newest = last

    async def _read_history(self, box: Box, chat: int) -> None:
        """Read another chat from its last settled message on: its updates are gone."""
        newest = _newest(box, chat)
        peer = self._peers.input_peer(chat)
        while True:
            await self._room(box)
            try:
                found = await messages_after(self._client, peer, newest)
            except errors.RPCError as error:
                if not is_for_people(error):
                    raise
                self._owner.trouble(
                    TroubleReason.SOURCE_UNREADABLE,
                    f"{chat}: Telegram has dropped what was missed, and bots read no histories: "
                    f"what was posted after message {newest} is not forwarded",
                )
                return
            if not found:
                return
            for message in found:
                self._sink.take(box, 0, event_of(message), False)
            newest = found[-1].id

    async def _room(self, box: Box) -> None:
        """Wait while too much is open, so that a long absence fits in memory.

        A box whose destinations have to wait does not keep the others from being read.
        """
        pause = _ROOM_SECONDS
        while len(box.tickets) > _SHARE and self._count_open() > MOST_OPEN:
            if not self._client.is_connected():
                raise ConnectionError("the connection ended")
            self._sink.make_room()
            await asyncio.sleep(pause)
            pause = min(_ROOM_MAX, pause * 1.5)

    def _count_open(self) -> int:
        return sum(len(it.tickets) for it in (self._account, *self._channels.values()))


def _newest(box: Box, chat: int) -> int:
    """Return a chat's newest message id that was taken."""
    return max(
        (it.message for it in box.tickets if it.chat == chat), default=box.last_ids.get(chat, 0)
    )


def _backoff(failures: int) -> float:
    """Return how many seconds to wait after so many failures in a row."""
    return min(_BACKOFF_MAX, _BACKOFF_SECONDS * 2.0 ** min(failures - 1, 16))
