"""Reads a rule's old messages, a page at a time, and puts them into the outbox of a destination.

At most some fifty of them wait there at once, so that those of other rules do not wait for
long. Each is judged, and read anew, when it is sent; what has a copy settles without a send.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import structlog
from telethon import errors
from telethon.tl import types

from afx.empty import NOTHING
from afx.forwarding.rules import ResolvedRule, Route, Routes, in_topic
from afx.node.admission import Admission
from afx.node.backfill_pages import PAGE, album_of, wanted
from afx.node.backfill_state import Backfill, Range, Stage
from afx.node.forwarder_owner import ForwarderOwner
from afx.node.lane import Lane
from afx.node.message_source import MessageSource, ToldToWaitError, UnknownChatError
from afx.node.outboxes import Outboxes
from afx.node.postponed import Postponed
from afx.node.references import Reference
from afx.telegram.errors import error_name, is_lost_login, logged

_LOW = 10
"""The next page is read when no more wait."""
_LOOK_SECONDS = 5.0
_ALONE_SECONDS = 15.0
"""A backfill whose task has not asked for it for so long sends nothing, until that does."""
LEASE_SECONDS = 600.0
"""One whose task has not asked for it for so long is ended, so that nothing waits for ever behind
one whose task is gone."""
_MOST_TRIES = 6
_BACKOFF_MAX = 60.0

log = structlog.get_logger()


class BackfillReader:
    """Drives the backfills of one session, one page after another."""

    __slots__ = (
        "_backfills",
        "_incomplete",
        "_judge",
        "_lane",
        "_later",
        "_may_run",
        "_monotonic",
        "_outboxes",
        "_owner",
        "_routes",
        "_source",
        "_task",
    )

    def __init__(
        self,
        later: Postponed,
        outboxes: Outboxes,
        source: MessageSource,
        judge: Admission,
        owner: ForwarderOwner,
        lane: Callable[[int], Lane],
        monotonic: Callable[[], float],
    ) -> None:
        """``lane`` returns that of a destination; ``judge`` knows which messages are copies."""
        self._later = later
        self._backfills = later.backfills
        self._outboxes = outboxes
        self._source = source
        self._owner = owner
        self._lane = lane
        self._judge = judge
        self._monotonic = monotonic
        self._routes: Routes = NOTHING
        self._incomplete: Mapping[int, ResolvedRule | None] = NOTHING
        self._may_run = False
        self._task: asyncio.Task[None] | None = None

    def use_routes(self, routes: Routes, incomplete: Mapping[int, ResolvedRule | None]) -> None:
        """Know the routes of all rules; those of ``incomplete`` ones may lack some now."""
        self._routes, self._incomplete = routes, incomplete
        for it in self._backfills:
            if it.waiting is None:
                it.find_waiting(self._outboxes.waiting_for(it.destination))
        self._backfills.wake()

    def route(self, rule: int, source: int, destination: int) -> Route | None:
        """Return a rule's route from one chat to another, if there is one."""
        for it in self._routes.get(source, ()):
            if (it.rule, it.destination) == (rule, destination):
                return it
        return None

    def note_asked(self, it: Backfill) -> None:
        """Its task has asked for one."""
        it.seen = self._monotonic()

    def begin(self, it: Backfill) -> None:
        """Hold back what is new behind one; it reads when its last messages are chosen."""
        self.note_asked(it)
        it.waiting = {}
        self._backfills.add(it)
        # It may be that an operator has opened a closed one, and asks again.
        self._lane(it.destination).try_again()

    def freeze(self, it: Backfill) -> None:
        """Read what one wants: its last messages are chosen."""
        it.is_frozen = True
        self._backfills.note_changed(it)
        if self._may_run:
            self.start()

    def end(self, it: Backfill) -> None:
        """Read no more of one, withdraw what was not sent, and let go what waits behind it."""
        self._withdraw(it)
        self._backfills.remove(it)
        self._let_go(it)

    def _let_go(self, it: Backfill) -> None:
        """Let go what waits behind one. What came by itself, too, is live from then on."""
        gone = self._later.let_go(it)
        if gone:
            self._outboxes.of(it.destination).change_all(
                lambda of: of._replace(
                    old=of.old and not (of.rule == it.rule and (of.source, of.message) in gone)
                )
            )

    def _has_claimed(self, it: Backfill) -> bool:
        """Return whether what came by itself, too, waits among old ones: it follows those."""
        waiting = it.waiting or ()
        return any(
            of.op == "send"
            and of.rule == it.rule
            and not of.old
            and (of.source, of.message) in waiting
            for of in self._outboxes.waiting_for(it.destination)
        )

    def _withdraw(self, it: Backfill) -> None:
        """Take out of the outbox what surely was not sent; that is read again, if one goes on."""
        gone = self._lane(it.destination).withdraw(it.has_put)
        for _ in gone:
            self._later.gate.counts.give_back(it.rule, it.destination)
        it.take_back(gone)
        if gone:
            self._backfills.note_changed(it)

    # --- while the session is connected --------------------------------------------------

    def start(self) -> None:
        """Read, from where it stopped."""
        self._may_run = True
        if self._task is None and self._backfills:
            self._task = asyncio.get_running_loop().create_task(self._run())
            self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Read nothing more, until the next start."""
        self._may_run = False
        if (task := self._task) is not None:
            task.cancel()
            await asyncio.wait({task})

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            self._owner.lost(error)
        elif self._may_run:  # one may have been begun as the last one ended
            self.start()

    async def _run(self) -> None:
        while self._backfills:
            pauses = [await self._step(it) for it in self._backfills]
            await self._backfills.wait(min(pauses))

    async def _step(self, it: Backfill) -> float:
        """Do what is due of one; returns after how many seconds to look again.

        Raises what says that the connection, or the login, is lost.
        """
        try:
            return await self._advance(it)
        except ToldToWaitError as error:
            return min(error.seconds, _BACKOFF_MAX)
        except (UnknownChatError, errors.RPCError) as error:
            if isinstance(error, errors.RPCError) and is_lost_login(error):
                raise
            name = error_name(error) if isinstance(error, errors.RPCError) else str(error)
            return self._failed(it, f"its old messages cannot be read: {name}")
        except (OSError, EOFError):
            raise
        except Exception as error:
            log.error("backfill_failed", error=logged(error))
            return self._failed(it, f"an internal error: {type(error).__name__}")

    def _failed(self, it: Backfill, reason: str) -> float:
        it.tries += 1
        if it.tries >= _MOST_TRIES:
            self._give_up(it, reason)
            return _LOOK_SECONDS
        return min(_BACKOFF_MAX, 2.0**it.tries)

    def _give_up(self, it: Backfill, reason: str) -> None:
        it.stage, it.reason = Stage.GIVEN_UP, reason
        self._backfills.note_changed(it)
        self._let_go(it)

    async def _advance(self, it: Backfill) -> float:
        now = self._monotonic()
        it.seen = now if it.seen is None else it.seen
        if not it.is_frozen:
            return _LOOK_SECONDS
        if now - it.seen > LEASE_SECONDS:
            self.end(it)
            return 0.0
        if it.stage is Stage.READS and now - it.seen > _ALONE_SECONDS:
            if not self._has_claimed(it):
                self._withdraw(it)
            return _LOOK_SECONDS
        if not it.is_over and (reason := self._lane(it.destination).closed):
            self._give_up(it, f"{it.destination} takes no messages: {reason}")
            return _LOOK_SECONDS
        if it.waiting and not self._outboxes.has(it.destination):
            it.waiting.clear()
        if it.stage is Stage.SENDS and not it.waiting:
            it.stage = Stage.ENDED
            self._backfills.note_changed(it)
        if it.stage is not Stage.READS:
            return _LOOK_SECONDS
        span = it.current
        if span is None:
            it.stage = Stage.SENDS
            self._backfills.note_changed(it)
            self._let_go(it)
            return 0.0
        if self.route(it.rule, span.source, it.destination) is None:
            if it.rule not in self._incomplete:
                self._give_up(it, "its rule does not forward there any more")
            return _LOOK_SECONDS
        if len(it.waiting or ()) > _LOW:
            return _LOOK_SECONDS
        if pause := self._held(it):
            return min(pause, _LOOK_SECONDS)
        found = await self._source.page(span.source, span.beyond, PAGE)
        # A copy goes no way back to where it came from, nor on by its own session: as live ones.
        passed = await self._judge.copies(span.source, [one.id for one in found])
        looped = {at for at, of in passed.items() if of.is_own or it.destination in of.chats}
        it.tries = 0
        # It may have been ended meanwhile, and the rule be another one.
        is_wanted = self._backfills.get(it.rule, it.destination) is it and it.stage is Stage.READS
        if is_wanted and self.route(it.rule, span.source, it.destination) is not None:
            return self._take(it, span, found, looped)
        return 0.0

    def _held(self, it: Backfill) -> float:
        """Return for how many seconds nothing of a rule may be sent: quiet hours, caps, delay."""
        hindered = self._later.hindered_for(it.rule, it.destination)
        return max(hindered, self._later.seconds_until(it.not_before))

    def _take(
        self, it: Backfill, span: Range, found: Sequence[Any], looped: Collection[int]
    ) -> float:
        """Put what was read into the outbox: an album as a whole, and nothing that is to wait."""
        page, is_last = wanted(found, span.to)
        album = 0
        for message in page:
            same = bool(album) and album_of(message) == album
            it.not_before = it.not_before if same else self._old_enough(it, message)
            if not same and (pause := self._held(it)):
                self._backfills.note_changed(it)
                return min(pause, _LOOK_SECONDS)
            album = album_of(message)
            if message.id not in looped:
                self._put_one(it, span.source, message)
            span.beyond = max(span.beyond, message.id)
        if is_last:
            span.beyond = span.to = max(span.to, span.beyond)
        self._backfills.note_changed(it)
        return 0.0

    def _old_enough(self, it: Backfill, message: Any) -> float:
        """Return when a message is old enough for its rule's delay, in Unix seconds."""
        date = getattr(message, "date", None)
        hold = self._later.options_of(it.rule).hold
        return float(date.timestamp() + hold) if date and hold else 0.0

    def _put_one(self, it: Backfill, source: int, message: Any) -> None:
        route = self.route(it.rule, source, it.destination)
        if route is None or not isinstance(message, types.Message):
            return
        if not in_topic(message, (route,)):
            return
        reference = Reference(it.rule, route.mode, source, message.id, judge=True, old=True)
        delivery = reference.delivery(it.destination)
        # Not as the entry of a digest: each is sent by itself.
        if self._later.has(delivery):
            it.doubles.add((source, message.id))
        if self._lane(it.destination).put_behind(delivery):
            self._later.gate.counts.revived(delivery)
        assert it.waiting is not None
        it.waiting[source, message.id] = None
