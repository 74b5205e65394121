"""One session that runs on this node: connect, catch up, forward, stop."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from telethon import errors, utils
from telethon.tl import functions, types

from afx.cluster.reports import FailureReason, TroubleReason
from afx.cluster.specs import SessionSpec
from afx.forwarding.pipeline import Delivery, Incoming, deliveries
from afx.forwarding.rules import ResolvedRule, Route, compile_routes, loops
from afx.node.lane import Lane, is_lost_login
from afx.telegram.boxes import Box, Ticket
from afx.telegram.client import AccountClient
from afx.telegram.sender import LOST_LOGIN, Outcome
from afx.telegram.session import StoredSession, account_field, channel_field, last_field
from afx.telegram.updates import Intake

_BACKOFF_MAX = 10.0
_RECONNECT_SECONDS = 60.0
_PAGE = 100


@dataclass(slots=True, frozen=True)
class Link:
    """A source message and its copy."""

    delivery: Delivery
    copy: int


@dataclass(slots=True, frozen=True)
class Environment:
    """What all sessions of a host share."""

    api_id: int
    api_hash: str
    connection: type
    guard: Callable[[], bool]
    dirty: Callable[[RunningSession], None]
    """Called when a session has progress to commit."""
    lost: Callable[[RunningSession, BaseException], None]
    """Called when a session's login no longer works, or it cannot go on."""
    trouble: Callable[[RunningSession, TroubleReason, str], None]


class StartError(Exception):
    """A session cannot start; the text is for the customer."""

    def __init__(self, reason: FailureReason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class RunningSession:
    """A live session; its host owns it."""

    __slots__ = (
        "_client",
        "_closing",
        "_copies",
        "_env",
        "_lanes",
        "_links",
        "_reconnect",
        "_routes",
        "_stored",
        "_watch",
        "changed",
        "committing",
        "epoch",
        "forwarded",
        "intake",
        "next_poll",
        "spec",
    )

    def __init__(
        self, spec: SessionSpec, epoch: int, stored: StoredSession, env: Environment
    ) -> None:
        # Its login is in use now; 5,000 sealed copies would only cost memory.
        self.spec = replace(spec, login="")
        self.epoch = epoch
        self.forwarded = 0
        self.changed = False
        self.committing = False
        self.next_poll = 0.0
        self._env = env
        self._stored = stored
        self._lanes: dict[int, Lane] = {}
        self._links: list[Link] = []
        self._routes: dict[int, tuple[Route, ...]] = {}
        self._copies: dict[tuple[int, int], None] | None = None
        self._closing = False
        self._reconnect: asyncio.Task[None] | None = None
        self._watch: asyncio.Future[Any] | None = None
        local = stored.server_address in ("127.0.0.1", "::1", "localhost")
        self._client = AccountClient(
            stored,
            api_id=env.api_id or int(local),
            api_hash=env.api_hash or "sandbox",
            connection=env.connection,
            on_updates=lambda it: self.intake.on_updates(it),  # noqa: PLW0108  made below
            device=f"afx {spec.session}",
        )
        self.intake = Intake(
            self._client,
            self._take,
            lambda reason, text: env.trouble(self, reason, text),
            lambda channel: self._peer(utils.get_peer_id(types.PeerChannel(channel))),
        )

    # --- life --------------------------------------------------------------------

    async def start(self) -> None:
        """Connect, resolve the rules' chats, and fetch what was missed.

        Raises StartError, a LOST_LOGIN error or ConnectionError.
        """
        try:
            await self._client.connect()
            await self._resolve_rules()
            await self._position()
            await self.intake.catch_up()
        except BaseException:
            await self._close()
            raise
        self._watch_connection()

    async def stop(self) -> None:
        """Stop forwarding and disconnect; progress is left for the last commit."""
        self._closing = True
        if self._reconnect:
            self._reconnect.cancel()
            await asyncio.gather(self._reconnect, return_exceptions=True)
        await self.intake.stop()
        await asyncio.gather(*(lane.drain() for lane in self._lanes.values()))
        await self._close()

    def pause(self) -> None:
        """Send nothing new: the lease is running out."""
        for lane in self._lanes.values():
            lane.pause()

    def resume(self) -> None:
        """Go on: the lease was renewed."""
        if self._client.is_connected():
            for lane in self._lanes.values():
                lane.resume()

    def poll(self) -> None:
        """Ask the source channels for what was never pushed."""
        if not self._closing and self._client.is_connected():
            for box in self.intake.channels.values():
                self.intake.sync_later(box)

    async def _close(self) -> None:
        self._closing = True
        await asyncio.gather(*(lane.cancel() for lane in self._lanes.values()))
        await self._client.hang_up()

    # --- what is to be committed ----------------------------------------------------

    def collect_uncommitted(self) -> tuple[list[str], list[Link], dict[str, str]]:
        """Return (cursor fields, links, entities) since the last call."""
        self.changed = False
        cursor: list[str] = []
        box = self.intake.account
        if box.cursor:
            cursor += account_field(box.cursor, 0, int(time.time()))
        for number, channel in self.intake.channels.items():
            cursor += channel_field(number, channel.cursor)
        for box in self.intake.boxes():
            for chat, message in box.last_ids.items():
                cursor += last_field(chat, message)
        links, self._links = self._links, []
        fresh, self._stored.fresh = self._stored.fresh, {}
        return cursor, links, fresh

    def put_back(self, links: list[Link], fresh: dict[str, str]) -> None:
        """Take back progress that could not be committed."""
        self._links = links + self._links
        self._stored.fresh = {**fresh, **self._stored.fresh}
        self._mark()

    def mark_all_dirty(self) -> None:
        """Let the next commit write all that is known, not only what is new."""
        self._stored.fresh = dict(self._stored.hashes)
        self._mark()

    def _mark(self) -> None:
        if not self.changed:
            self.changed = True
            self._env.dirty(self)

    # --- starting --------------------------------------------------------------------

    async def _resolve_rules(self) -> None:
        rules = []
        listed = False
        for rule in self.spec.rules:
            chats: dict[str, int] = {}
            for chat in (*rule.sources, *rule.destinations):
                number = await self._resolve(chat)
                if number is None and not listed:
                    listed = True
                    await self._list_dialogs()
                    number = await self._resolve(chat)
                if number is None:
                    raise StartError(
                        FailureReason.CHAT_UNKNOWN, f"chat {chat} is not known to this account"
                    )
                chats[chat] = number
            rules.append(
                ResolvedRule(
                    rule.id,
                    tuple(chats[it] for it in rule.sources),
                    tuple(chats[it] for it in rule.destinations),
                    "forward" if rule.mode == "forward" else "copy",
                )
            )
        self._routes = compile_routes(rules)
        self._copies = {} if loops(self._routes) else None
        for number in self._routes:
            bare, kind = utils.resolve_id(number)
            if kind is types.PeerChannel:
                self.intake.channels[bare] = Box(bare, 0, 0)

    async def _resolve(self, chat: str) -> int | None:
        """Return the marked id of a chat named in a rule, None if unknown."""
        if not chat.startswith("@"):
            number = int(chat)
            return number if str(number) in self._stored.hashes else None
        held = self._stored.hashes.get(chat.lower())
        if held is None:
            try:
                await self._client(functions.contacts.ResolveUsernameRequest(chat[1:]))
            except (errors.UsernameNotOccupiedError, errors.UsernameInvalidError):
                return None
            held = self._stored.hashes.get(chat.lower())
        return int(held) if held else None

    async def _list_dialogs(self) -> None:
        """Learn the access hashes of all chats of the account, page by page."""
        offset: dict[str, Any] = {
            "offset_date": None,
            "offset_id": 0,
            "offset_peer": types.InputPeerEmpty(),
        }
        while True:
            page = await self._client(
                functions.messages.GetDialogsRequest(limit=_PAGE, hash=0, **offset)
            )
            if not isinstance(page, types.messages.DialogsSlice) or not page.messages:
                return
            last = page.messages[-1]
            offset = {
                "offset_date": last.date,
                "offset_id": last.id,
                "offset_peer": self._peer(utils.get_peer_id(last.peer_id)),
            }

    async def _position(self) -> None:
        """Set each box to its stored cursor, or to now when it has none."""
        account, channels = self.intake.account, self.intake.channels
        stored = self._stored.account_cursor()
        if stored is None:
            state = await self._client(functions.updates.GetStateRequest())
            stored = (state.pts, state.qts, 0)
        account.pts = account.cursor = stored[0]
        for chat in self._routes:
            bare, kind = utils.resolve_id(chat)
            box = channels[bare] if kind is types.PeerChannel else account
            if last := self._stored.last_id(chat):
                box.last_ids[chat] = last
        unknown = []
        for number, box in channels.items():
            box.pts = box.cursor = self._stored.channel_cursor(number)
            if not box.pts:
                unknown.append(number)
        for start in range(0, len(unknown), _PAGE):
            part = [
                types.InputDialogPeer(self._peer(utils.get_peer_id(types.PeerChannel(it))))
                for it in unknown[start : start + _PAGE]
            ]
            page = await self._client(functions.messages.GetPeerDialogsRequest(part))
            for dialog in page.dialogs:
                box = channels[dialog.peer.channel_id]
                box.pts = box.cursor = dialog.pts or 1
                box.last_ids.setdefault(utils.get_peer_id(dialog.peer), dialog.top_message)
        missing = [number for number in unknown if not channels[number].pts]
        if missing:
            raise StartError(
                FailureReason.CHAT_UNREADABLE,
                f"source channel {missing[0]} cannot be read by this account",
            )
        self._mark()

    def _peer(self, chat: int) -> Any:
        return self._stored.get_input_entity(chat)

    # --- forwarding -------------------------------------------------------------------

    def _take(self, box: Box, pts: int, message: Incoming | None, own: bool) -> Ticket:
        routes = self._routes.get(message.chat, ()) if message and not own else ()
        if message and routes and self._copies is not None and self._is_copy(message):
            routes = ()
        if not routes or message is None:
            ticket = box.admit(pts, 0)
            if box.advance():
                self._mark()
            return ticket
        ticket = box.admit(pts, len(routes), message.chat, message.id)
        for delivery in deliveries(message, routes):
            self._lane(delivery.destination).put(delivery, ticket)
        return ticket

    def _is_copy(self, message: Incoming) -> bool:
        assert self._copies is not None
        return (message.chat, message.id) in self._copies or (
            message.id in self.intake.known_copies.values()
        )

    def _lane(self, destination: int) -> Lane:
        lane = self._lanes.get(destination)
        if lane is None:
            lane = Lane(self._client, self._peer, self._settled, self._on_lost)
            self._lanes[destination] = lane
        return lane

    def _settled(self, delivery: Delivery, ticket: Ticket, outcome: Outcome) -> None:
        ticket.open -= 1
        copy = outcome.copy
        if outcome.result == "known":
            copy = self.intake.known_copies.pop(delivery.random_id, 0)
        if outcome.result == "refused":
            self._env.trouble(
                self,
                TroubleReason.MESSAGE_REFUSED,
                f"message {delivery.message} of {delivery.source} was refused by "
                f"{delivery.destination}: {outcome.reason}",
            )
        elif copy:
            self._links.append(Link(delivery, copy))
            if self._copies is not None:
                self._copies[delivery.destination, copy] = None
        if outcome.result == "sent":
            self.forwarded += 1
        ticket.box.advance()
        self._mark()

    # --- the connection -----------------------------------------------------------------

    def _watch_connection(self) -> None:
        self._watch = self._client.disconnected
        self._watch.add_done_callback(self._on_disconnected)

    def _on_disconnected(self, future: asyncio.Future[Any]) -> None:
        error = None if future.cancelled() else future.exception()
        self._on_lost(error or ConnectionError("the connection ended"))

    def _on_lost(self, error: BaseException) -> None:
        """See to a lost connection, or to a login that no longer works."""
        if self._closing:
            return
        if is_lost_login(error):
            self._closing = True
            self._env.lost(self, error)
        elif self._reconnect is None or self._reconnect.done():
            self._env.trouble(
                self, TroubleReason.CONNECTION_LOST, f"{type(error).__name__}: {error}"
            )
            self.pause()
            self._reconnect = asyncio.get_running_loop().create_task(self._come_back())

    async def _come_back(self) -> None:
        pause = 0.1
        while not self._closing:
            try:
                # Telethon leaves some requests of a lost connection without an
                # answer for ever: nobody may go on waiting for one.
                await self.intake.stop()
                await asyncio.gather(*(lane.cancel() for lane in self._lanes.values()))
                await self._client.hang_up()
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                if not self._env.guard():
                    return  # the host is about to end
                async with asyncio.timeout(_RECONNECT_SECONDS):
                    await self._client.connect()
                    await self.intake.catch_up()
            except LOST_LOGIN as error:
                self._closing = True
                self._env.lost(self, error)
            except Exception as error:  # whatever it was: a session must not stay cut off
                self._env.trouble(self, TroubleReason.RECONNECT_FAILED, type(error).__name__)
                pause = min(_BACKOFF_MAX, pause * 2)
            else:
                self._watch_connection()
                self.resume()
                return
