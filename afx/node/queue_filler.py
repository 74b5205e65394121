"""Fills a lane's queue out of its outbox: reads the next messages, as far as they can be read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

from telethon import errors

from afx.forwarding.whole_albums import MOST_IN_ALBUM, units
from afx.node.digests import IN_DIGEST
from afx.node.lane_owner import LaneOwner
from afx.node.lane_queue import ALBUM_SECONDS, LaneQueue
from afx.node.message_source import ToldToWaitError
from afx.node.outbox import Outbox
from afx.node.outbox_reader import Found
from afx.node.pace import Pace
from afx.node.patience import Patience, Step
from afx.node.references import Reference
from afx.node.vain_tries import VainTries
from afx.reasons import DeadReason, TroubleReason
from afx.telegram.errors import error_name, is_lost_login
from afx.telegram.sender import Outcome


class QueueFiller:
    """The reading part of one lane."""

    __slots__ = ("_last_album", "_outbox", "_owner", "_pace", "_patience", "_queue", "_vain")

    def __init__(
        self,
        owner: LaneOwner,
        outbox: Outbox,
        queue: LaneQueue,
        *,
        pace: Pace,
        patience: Patience,
        vain: VainTries,
    ) -> None:
        """``patience`` and ``vain`` are those of the lane."""
        self._owner = owner
        self._outbox = outbox
        self._queue = queue
        self._pace = pace
        self._patience = patience
        self._vain = vain
        self._last_album: tuple[int, int, float] | None = None
        """Source and last item of an album that ends the outbox, and since when it does."""

    async def fill(self) -> bool:
        """Fetch the next messages of the outbox; False when they cannot be read now."""
        await asyncio.sleep(0)  # what needs no request must not hold up the other lanes
        references = self._outbox.first(self._patience.size)
        if not references:
            self._pace.back_off()
            return False
        try:
            found = await self._owner.contents(self._outbox.destination, references)
        except ToldToWaitError as error:
            self._pace.wait(error.seconds)
            return False
        except errors.RPCError as error:
            if is_lost_login(error):
                raise
            return self._note_unread(references, error_name(error))
        finally:
            self._outbox.reading = 0
        ready = list(takewhile(lambda it: not it[1] or it[1].result != "failed", found))
        if len(ready) == len(found) and not (ready := self._whole(ready)):
            return False
        if ready:
            self._patience.passed({it.source for it, _ in ready})
        else:
            step, ready = self._judge_unread(found)
            if not ready:
                return step == "narrow"
        for (delivery, outcome), ticket in zip(ready, self._outbox.begin(len(ready)), strict=True):
            if outcome is None:
                self._queue.append(delivery, ticket)
            elif outcome is IN_DIGEST:
                ticket.open = 0  # it leaves with the first one, which is before it
            else:
                self._owner.settled(delivery, ticket, outcome)
        return True

    def _whole(self, ready: Found) -> Found:
        """Return what is ready without an album at its end that may have more items.

        Nothing: such an album is all that there is, and is waited for.
        """
        *before, last = units(ready, lambda it: it[0])
        if not last[-1][0].album or last[-1][0].part or len(last) >= MOST_IN_ALBUM:
            return ready
        if before:
            return ready[: -len(last)]
        it, now = last[-1][0], asyncio.get_running_loop().time()
        if self._outbox.count > len(ready):
            return ready  # what follows could not be read together with it
        if self._last_album is None or self._last_album[:2] != (it.source, it.message):
            self._last_album = it.source, it.message, now
        left = self._last_album[2] + ALBUM_SECONDS - now
        if left <= 0:
            return ready
        self._pace.hold(left)
        return []

    def _judge_unread(self, found: Found) -> tuple[Step, Found]:
        """Return what to do about a first message that cannot be read now.

        With it those that are given up, with their outcomes.
        """
        first, outcome = found[0]
        assert outcome is not None and outcome.dead is not None
        step = self._patience.refused(first.source, outcome.dead, len(found))
        if step == "narrow":
            return step, []
        if step == "later":
            text = f"what waits of {first.source} cannot be read: {outcome.reason}"
            self._pace.back_off(TroubleReason.SOURCE_UNREADABLE, text)
            return step, []
        dead = replace(outcome, result="refused", attempts=self._patience.tries)
        self._patience.settled(first.source, is_read=False)
        self._pace.passed()
        given_up = takewhile(lambda it: it[0].source == first.source and it[1] == outcome, found)
        return step, [(delivery, dead) for delivery, _ in given_up]

    def _note_unread(self, references: Sequence[Reference], reason: str) -> bool:
        """Telegram errs on what waits; returns whether fewer are to be read at once, and now.

        What it errs on for ever becomes a dead letter, once it is read by itself.
        """
        first = references[0]
        # A digest is read as a whole, of however many it is.
        if self._patience.narrow(min(len(references), self._patience.size)):
            return True
        count = 1 + sum(1 for _ in takewhile(lambda it: it.part == "rest", references[1:]))
        destination = self._outbox.destination
        key = (first.rule, first.source, first.message, f"read {first.op}")
        if self._vain.failed(key, asyncio.get_running_loop().time(), has_album=False) == "later":
            text = f"what waits of {first.source} cannot be read: {reason}"
            self._pace.back_off(TroubleReason.SOURCE_UNREADABLE, text)
            return False
        dead = DeadReason.MESSAGE_UNREADABLE
        outcome = Outcome("refused", reason=reason, dead=dead, attempts=self._vain.tries)
        self._vain.passed()
        self._pace.passed()
        for it, ticket in zip(references, self._outbox.begin(count), strict=False):
            self._owner.settled(it.delivery(destination), ticket, outcome)
        return True
