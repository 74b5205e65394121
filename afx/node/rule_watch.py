"""Keeps a session's rules at work: what one bad chat stops is tried again from time to time.

A source that can be read again within an hour goes on where it was; one that could not be read
for longer, or at the start, is forwarded from then on: what was posted before is not.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

import structlog
from telethon import utils
from telethon.tl import types

from afx.clock import Clock
from afx.cluster.specs import RuleSpec
from afx.node.chat_watch import ChatWatch
from afx.node.closed_routes import RETRY_MAX, RETRY_SECONDS, ClosedRoutes, RuleTrouble, merged
from afx.node.forwarder import Forwarder
from afx.node.kept_boxes import KeptBoxes
from afx.node.preparation import load_outboxes, position
from afx.reasons import TroubleReason
from afx.telegram.client import AccountClient
from afx.telegram.differences import marked_channel
from afx.telegram.errors import is_lost_login
from afx.telegram.peers import Peers
from afx.telegram.positions import begin_at_now, forget_source, unreadable
from afx.telegram.session import StoredSession
from afx.telegram.updates import UpdateReader

_JITTER = (0.8, 1.2)
_FIRST_SECONDS = 1.0
"""After so long what could not be tried is tried again; then twice as long each time, until that
is as long as for chats that are closed."""

log = structlog.get_logger()


class RuleWatchOwner(Protocol):
    """The session whose rules are watched."""

    def lost(self, error: BaseException) -> None:
        """The connection, or the login, is lost."""

    def rule_changed(self, rule: int, trouble: RuleTrouble | None) -> None:
        """A rule does not forward all that it should, or does so again."""

    def forget_fields(self, fields: Iterable[str]) -> None:
        """Remove these fields of the stored cursor."""

    def trouble(self, reason: TroubleReason, text: str) -> None:
        """Report what hinders the session."""

    def keep_fields(self, fields: Iterable[str]) -> None:
        """Do not remove these fields after all."""

    def progressed(self) -> None:
        """There is something to commit."""


class RuleWatch:
    """The rules of one session, and the chats that are closed to them."""

    __slots__ = (
        "_added",
        "_chats",
        "_client",
        "_clock",
        "_closed",
        "_due",
        "_forwarder",
        "_is_unregistered",
        "_kept",
        "_news",
        "_owner",
        "_pause",
        "_peers",
        "_random",
        "_reader",
        "_task",
        "troubles",
    )

    def __init__(
        self,
        rules: Sequence[RuleSpec],
        *,
        client: AccountClient,
        peers: Peers,
        reader: UpdateReader,
        forwarder: Forwarder,
        chats: ChatWatch,
        owner: RuleWatchOwner,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._closed = ClosedRoutes(rules)
        self._added: Sequence[RuleSpec] = ()
        """New rules, and such as name other chats than before, until these are looked up."""
        self._client = client
        self._peers = peers
        self._reader = reader
        self._forwarder = forwarder
        self._chats = chats
        self._owner = owner
        self._clock = clock
        self._random = rng
        self._task: asyncio.Task[None] | None = None
        self._is_unregistered = False
        """Chats have become known, and other sessions have not been told of them yet."""
        self._kept = KeptBoxes()
        self._news: asyncio.Event | None = None
        """While it waits before it tries again: there are new rules."""
        self._due = 0.0
        self._pause = RETRY_SECONDS
        self.troubles: dict[int, RuleTrouble] = {}
        """What is wrong with rules, by their ids."""

    async def begin(self, stored: StoredSession) -> None:
        """Resolve the rules' chats, and set where each source begins; raises StartError."""
        load_outboxes(self._forwarder, stored)
        closed = self._closed
        closed.note_known(await self._peers.resolve(closed.unknown, leave=closed.leave()))
        closed.note_unknown(self._peers.why_unknown)
        self._forwarder.set_routes(closed.routes, self._reader.last_settled, closed.incomplete)
        await self._forwarder.pools.check()
        await self._learn_own()
        closed.note_unreadable(
            await position(self._client, self._reader, stored, self._peers, closed.routes)
        )
        await self._chats.begin(closed.routes)
        self._forwarder.use_routes(closed.in_use)
        self.troubles = closed.troubles()
        self._wait()

    async def _learn_own(self) -> None:
        """Look up where the session may have sent itself, before its rules got senders."""
        own = self._forwarder.pools.own
        for to in sorted({it.destination for it in own.inherited}):
            try:
                await self._peers.learn(to, self.known)
            except ValueError:  # it cannot ask there again
                own.end([it for it in own.inherited if it.destination == to])

    @property
    def known(self) -> set[int]:
        """All chats of the rules that the account knows."""
        return self._closed.known

    # --- what happens ---------------------------------------------------------------------

    def source_closed(self, channel: int, name: str) -> None:
        """A source channel, by its bare id, cannot be read any more."""
        chat = marked_channel(channel)
        if chat in self._closed.unreadable:
            return
        # What is stored of its position stays: it may be readable again soon.
        self._kept.keep(chat, self._reader.channels, self._clock.monotonic())
        self._closed.note_unreadable({chat: name})
        self._wait()
        self._apply()

    def destination_closed(self, destination: int, name: str) -> None:
        """A send was refused so that the next one would be refused as well."""
        jitter = self._random.uniform(*_JITTER)
        self._closed.note_refused(destination, name, self._clock.monotonic(), jitter)
        self._apply()

    def destination_works(self, destination: int) -> None:
        """A message has arrived at a destination that was closed."""
        self._closed.note_works(destination)
        self._apply()

    def hindered(self, destination: int, text: str) -> None:
        """What is sent to a destination keeps failing, and why; "" when it does not any more."""
        self._closed.note_hindered(destination, text)
        self._apply()

    def capped(self, rule: int, text: str) -> None:
        """Messages of a rule wait because of its caps, or do so no more ("")."""
        self._closed.note_capped(rule, text)
        self._apply()

    def senders_hindered(self, rule: int, text: str) -> None:
        """Something is wrong with the senders of a rule, or is no more ("")."""
        self._closed.note_senders(rule, text)
        self._apply()

    # --- trying again ---------------------------------------------------------------------

    def renew(self, rules: Sequence[RuleSpec]) -> Sequence[RuleSpec]:
        """Use the filters and transforms of these rules from now on, and tell what is wrong.

        What has been judged already keeps its verdict. New rules, and such as name other chats,
        are used as soon as their chats are looked up. What is sent by rules that are gone, and
        has not begun, is not sent. Returns the rules as they are used then.
        """
        before, sources = self._closed.leave(), self._closed.sources
        self._forwarder.admission.leave_out(self._closed.rules, {it.id for it in rules})
        used = self._closed.renew(rules)
        if self._closed.leave() != before:
            self._due = self._clock.monotonic()
        self._forwarder.renew_routes(self._closed.routes, self._closed.incomplete)
        self._forwarder.lanes.leave_out(self._closed.rules)
        self._leave(sources)
        self._apply()
        if self._closed.unlearned:
            self._due = self._clock.monotonic()
        for rule, trouble in self.troubles.items():
            self._owner.rule_changed(rule, trouble)
        self._added = self._closed.added(rules)
        if self._added:
            self._due = self._clock.monotonic()
            if self._client.is_connected():
                self.poll()
        return merged(used, self._added)

    def poll(self) -> None:
        """Try what is due, in the background."""
        now = self._clock.monotonic()
        for destination in self._closed.take_due(now):
            self._forwarder.try_again(destination)
        closed = self._closed
        is_open = (
            self._added
            or closed.unknown
            or closed.unlearned
            or closed.unreadable
            or self._is_unregistered
        )
        if is_open and now >= self._due:
            self._wait()
            if self._news is not None:
                self._news.set()
            if self._task is None or self._task.done():
                self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Try nothing any more, until the next ``poll``."""
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._added:
            self._due = self._clock.monotonic()

    def _wait(self) -> None:
        self._due = self._clock.monotonic() + self._pause * self._random.uniform(*_JITTER)

    async def _run(self) -> None:
        pause = _FIRST_SECONDS
        while True:
            try:
                opened = await self._try_again()
                while self._added:  # more have come meanwhile
                    opened = await self._try_again() or opened
                break
            except Exception as error:
                if is_lost_login(error) or isinstance(error, OSError | EOFError):
                    self._owner.lost(error)
                    return
                log.warning("rules_not_tried", error=repr(error))
                if wait := float(getattr(error, "seconds", None) or 0.0):
                    await asyncio.sleep(wait)  # Telegram asks for it
                else:
                    await self._back_off(pause)
                    pause = min(RETRY_SECONDS, pause * 2)
        self._pause = RETRY_SECONDS if opened else min(RETRY_MAX, self._pause * 2)
        self._wait()

    async def _back_off(self, seconds: float) -> None:
        """Wait; new rules end that."""
        self._news = asyncio.Event()
        try:
            async with asyncio.timeout(seconds * self._random.uniform(1.0, _JITTER[1])):
                await self._news.wait()
        except TimeoutError:
            pass
        finally:
            self._news = None

    async def _try_again(self) -> bool:
        """Look up unknown chats, and read closed sources, again; True if that helped."""
        closed = self._closed
        has_more = await self._add()
        found: dict[str, int] = {}
        unknown = [*closed.unknown, *closed.unlearned]
        if not has_more and unknown:
            before = set(closed.routes)
            found = await self._peers.resolve(unknown, closed.known, closed.leave())
            closed.note_unknown(self._peers.why_unknown)
            if found:
                self._is_unregistered = True
                closed.note_known(found)
                fresh = set(closed.routes) - before
                closed.note_unreadable(dict.fromkeys(fresh, "not read yet"))
        if self._is_unregistered:
            self._forwarder.set_routes(closed.routes, self._reader.last_settled, closed.incomplete)
            await self._forwarder.pools.check()
            await self._chats.register(closed.routes)
            self._is_unregistered = False
            for chat in found.values():
                self._forwarder.try_again(chat)
        self._forget_expired()
        wanted = closed.unreadable
        opened: list[int] = []
        if wanted:
            kept = sorted(it for it in wanted if it in self._kept)
            others = sorted(it for it in wanted if it not in self._kept)
            refused = await unreadable(self._client, self._peers, kept) if kept else {}
            if others:
                refused |= await begin_at_now(self._client, self._reader, self._peers, others)
            # No update is taken between this and the use of their routes.
            self._kept.put_back((it for it in kept if it not in refused), self._reader.channels)
            gone = wanted - closed.sources  # no rule names them any more by now
            for chat in gone:
                forget_source(self._reader, chat)
            refused = {it: why for it, why in refused.items() if it not in gone}
            opened = [it for it in wanted - gone if it not in refused]
            closed.note_unreadable(refused)
            closed.note_readable(opened)
        self._open(opened)
        return bool(has_more or found or opened)

    async def _add(self) -> bool:
        """Look up the chats of new rules, and take those rules; False when there are none.

        Their routes are used once other hosts know of their chats, and those of new sources
        once these are read.
        """
        closed, added = self._closed, self._added
        if not added:
            return False
        leave = closed.leave(added)
        found = await self._peers.resolve(closed.unnamed(added), closed.known, leave)
        closed.note_unknown(self._peers.why_unknown)
        if self._added is not added:
            return False  # they have changed meanwhile
        self._added = ()
        before, sources = set(closed.routes), closed.sources
        closed.add(added)
        closed.note_known(found)
        closed.note_unreadable(dict.fromkeys(set(closed.routes) - before, "not read yet"))
        self._leave(sources)
        self._is_unregistered = True
        return True

    def _leave(self, sources: Collection[int]) -> None:
        """Read no more those of some sources that no rule names any more.

        What is stored of them goes, as at a restart: a rule that names one again later begins
        at what is posted then.
        """
        if gone := sorted(set(sources) - self._closed.sources):
            self._closed.note_readable(gone)
            self._kept.forget(gone)
            for chat in gone:
                self._owner.forget_fields(forget_source(self._reader, chat))
            self._owner.progressed()

    def _forget_expired(self) -> None:
        """Sources that could not be read for long begin at now, when they can again."""
        for chat, newest in self._kept.take_expired(self._clock.monotonic()).items():
            self._owner.forget_fields(forget_source(self._reader, chat))
            self._owner.trouble(
                TroubleReason.SOURCE_UNREADABLE,
                f"{chat} could not be read for long: what was posted after its message {newest} "
                "is not forwarded",
            )

    def _open(self, sources: Sequence[int]) -> None:
        """Forward from sources from now on."""
        for chat in sources:
            bare, kind = utils.resolve_id(chat)
            if kind is types.PeerChannel:
                self._owner.keep_fields([f"channel:{bare}", f"last:{chat}"])
            else:
                self._owner.keep_fields([f"last:{chat}"])
                # The account's difference may still bring older ones.
                self._forwarder.skip_until(chat, self._reader.last_settled(chat))
        self._apply()
        for chat in sources:
            bare, kind = utils.resolve_id(chat)
            if kind is types.PeerChannel:
                self._reader.sync_later(self._reader.channels[bare])
        self._owner.progressed()

    def _apply(self) -> None:
        """Use the routes that are open, and report what has changed of rules."""
        self._forwarder.use_routes(self._closed.in_use)
        before, self.troubles = self.troubles, self._closed.troubles()
        for rule in {*before, *self.troubles}:
            if before.get(rule) != self.troubles.get(rule):
                self._owner.rule_changed(rule, self.troubles.get(rule))
