"""From Telegram's updates to the messages of a session's source chats.

Takes raw updates in pts order, box by box; fetches differences for gaps, after
a reconnect, and from the stored cursor on start; and reads the history where
Telegram says that a cursor is too old. Nothing is handed out twice in order,
nothing is skipped in silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from telethon import errors, utils
from telethon.tl import functions, types

from afx.cluster.reports import TroubleReason
from afx.forwarding.pipeline import Incoming
from afx.telegram.boxes import Box, Ticket
from afx.telegram.client import AccountClient

_SLICE = 100
_MOST_OPEN = 2000
Take = Callable[[Box, int, Incoming | None, bool], Ticket]


class Intake:
    """The update boxes of one session."""

    __slots__ = (
        "_client",
        "_input",
        "_take",
        "_tasks",
        "_trouble",
        "account",
        "channels",
        "known_copies",
    )

    def __init__(
        self,
        client: AccountClient,
        take: Take,
        trouble: Callable[[TroubleReason, str], None],
        input_channel: Callable[[int], Any],
    ) -> None:
        """``take`` is called for each update in order, ``trouble`` with a reason."""
        self._client = client
        self._take = take
        self._trouble = trouble
        self._input = input_channel
        self._tasks: set[asyncio.Task[None]] = set()
        self.account = Box(0, 0, 0)
        self.channels: dict[int, Box] = {}
        self.known_copies: dict[int, int] = {}
        """random_id → message id of sends whose answer never came."""

    def boxes(self) -> Iterable[Box]:
        """Return the account's box and those of its source channels."""
        return (self.account, *self.channels.values())

    # --- live updates -----------------------------------------------------------

    def on_updates(self, it: Any) -> None:
        """Take what the server pushed, or what an own request answered."""
        own = getattr(it, "_self_outgoing", False)
        if isinstance(it, types.Updates | types.UpdatesCombined):
            for update in it.updates:
                self._on_update(update, own)
        elif isinstance(it, types.UpdateShort):
            self._on_update(it.update, own)
        elif isinstance(it, types.UpdateShortMessage | types.UpdateShortChatMessage):
            self._offer(self.account, it.pts, it.pts_count, _short(it), own or it.out)
        elif isinstance(it, types.UpdateShortSentMessage):
            self._offer(self.account, it.pts, it.pts_count, None, True)
        elif isinstance(it, types.UpdatesTooLong):
            self.sync_later(self.account)

    def _on_update(self, update: Any, own: bool) -> None:
        if isinstance(update, types.UpdateNewChannelMessage):
            channel = getattr(update.message.peer_id, "channel_id", 0)
            box = self.channels.get(channel)
            if box:
                self._offer(box, update.pts, update.pts_count, _incoming(update.message), own)
        elif isinstance(update, types.UpdateNewMessage):
            message = _incoming(update.message)
            self._offer(self.account, update.pts, update.pts_count, message, own)
        elif isinstance(update, types.UpdateChannelTooLong):
            if box := self.channels.get(update.channel_id):
                self.sync_later(box)
        elif isinstance(update, types.UpdateMessageID):
            if not own:
                self.known_copies[update.random_id] = update.id
        elif (pts := getattr(update, "pts", None)) and hasattr(update, "pts_count"):
            channel = getattr(update, "channel_id", 0) or getattr(
                getattr(getattr(update, "message", None), "peer_id", None), "channel_id", 0
            )
            box = self.channels.get(channel) if channel else self.account
            if box:
                self._offer(box, pts, update.pts_count, None, own)

    def _offer(self, box: Box, pts: int, count: int, message: Incoming | None, own: bool) -> None:
        if box.syncing:
            box.held.append((pts, count, message, own))
            return
        verdict = box.check(pts, count)
        if verdict == "next":
            self._take(box, pts, message, own)
        elif verdict == "gap":
            box.held.append((pts, count, message, own))
            self.sync_later(box)

    # --- differences --------------------------------------------------------------

    def sync_later(self, box: Box) -> None:
        """Fetch a box's difference in the background, unless that is under way."""
        if box.syncing:
            return
        box.syncing = True
        task = asyncio.get_running_loop().create_task(self._sync_quietly(box))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def catch_up(self) -> None:
        """Fetch all that was missed, the account first.

        The account's difference also tells the ids of sends whose answer was
        lost, which the channels' replays need.
        """
        for box in self.boxes():
            box.syncing = True
        await self._sync(self.account)
        await asyncio.gather(*(self._sync(box) for box in self.channels.values()))

    async def stop(self) -> None:
        """End all fetching."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _sync_quietly(self, box: Box) -> None:
        try:
            await self._sync(box)
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # whoever sees to the connection catches up after it is back
        except errors.RPCError as error:
            self._trouble(TroubleReason.DIFFERENCE_REFUSED, type(error).__name__)
        finally:
            box.syncing = False

    async def _sync(self, box: Box) -> None:
        """Bring a box up to date, then offer what was held back meanwhile."""
        fetch = self._channel_part if box.channel else self._account_part
        try:
            while True:
                await self._room()
                try:
                    if await fetch(box):
                        break
                except (errors.FloodError, errors.ServerError, errors.TimedOutError) as error:
                    await asyncio.sleep(float(getattr(error, "seconds", 1) or 1))
                except (errors.ChannelPrivateError, errors.ChannelInvalidError):
                    self._trouble(
                        TroubleReason.SOURCE_UNREADABLE,
                        f"source channel {box.channel} cannot be read",
                    )
                    break
        finally:
            box.syncing = False
        held, box.held = sorted(box.held, key=lambda it: it[0]), []
        for pts, count, message, own in held:
            self._offer(box, pts, count, message, own)

    async def _room(self) -> None:
        """Wait while too much is open, so that a long absence fits in memory."""
        while sum(len(it.tickets) for it in self.boxes()) > _MOST_OPEN:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    async def _account_part(self, box: Box) -> bool:
        diff = await self._client(
            functions.updates.GetDifferenceRequest(pts=box.pts, date=datetime.now(UTC), qts=0)
        )
        if isinstance(diff, types.updates.DifferenceEmpty):
            return True
        if isinstance(diff, types.updates.DifferenceTooLong):
            await self._read_on(box, list(box.last_ids), diff.pts)
            return False
        for update in diff.other_updates:
            if isinstance(update, types.UpdateMessageID):
                self.known_copies[update.random_id] = update.id
        for message in diff.new_messages:
            self._take(box, 0, _incoming(message), False)
        last = isinstance(diff, types.updates.Difference)
        state = diff.state if last else diff.intermediate_state
        self._take(box, state.pts, None, False)
        return last

    async def _channel_part(self, box: Box) -> bool:
        diff = await self._client(
            functions.updates.GetChannelDifferenceRequest(
                channel=self._input(box.channel),
                filter=types.ChannelMessagesFilterEmpty(),
                pts=box.pts,
                limit=_SLICE,
            )
        )
        if isinstance(diff, types.updates.ChannelDifferenceEmpty):
            return bool(diff.final)
        if isinstance(diff, types.updates.ChannelDifferenceTooLong):
            await self._read_on(box, [utils.get_peer_id(diff.dialog.peer)], diff.dialog.pts)
            return bool(diff.final)
        for message in diff.new_messages:
            self._take(box, 0, _incoming(message), False)
        self._take(box, diff.pts, None, False)
        return bool(diff.final)

    async def _read_on(self, box: Box, chats: Iterable[int], pts: int) -> None:
        """Read chats from their last settled message on: their updates are gone."""
        for chat in chats:
            newest = max(
                (it.message for it in box.tickets if it.chat == chat),
                default=box.last_ids.get(chat, 0),
            )
            peer = self._client.session.get_input_entity(chat)
            while True:
                await self._room()
                # From offset_id towards newer messages, the oldest _SLICE of them.
                page = await self._client(
                    functions.messages.GetHistoryRequest(
                        peer=peer,
                        offset_id=newest + 1,
                        offset_date=None,
                        add_offset=-_SLICE,
                        limit=_SLICE,
                        max_id=0,
                        min_id=newest,
                        hash=0,
                    )
                )
                found = sorted((it for it in page.messages if it.id > newest), key=lambda it: it.id)
                if not found:
                    break
                for message in found:
                    self._take(box, 0, _incoming(message), False)
                newest = found[-1].id
        self._take(box, pts, None, False)


def _incoming(message: Any) -> Incoming | None:
    """Return a TL message as a value; None for service messages."""
    if not isinstance(message, types.Message):
        return None
    return Incoming(
        utils.get_peer_id(message.peer_id),
        message.id,
        message.message or "",
        tuple(message.entities or ()),
        message.media is not None and not isinstance(message.media, types.MessageMediaWebPage),
    )


def _short(it: Any) -> Incoming:
    chat = -it.chat_id if isinstance(it, types.UpdateShortChatMessage) else it.user_id
    return Incoming(chat, it.id, it.message, tuple(it.entities or ()), False)
