"""What a session's rules send, or delete, later: each rule's deliveries to one destination.

They wait as references with absolute due times, stored in the session's cursor hash in the
commit that lets the cursor pass their messages, as those of an outbox are (see ``outbox``). When
the first one is due it goes to the outbox of its destination. Both changes are stored in one
commit, the outbox's first, so what a crash cuts is in both at worst: then a known link settles
the second. Contents are read when they are sent: what is edited before is sent as it is then,
and what is deleted before is not sent.

Edits and deletes that one sender of a pool alone can make, and that has to wait, wait here, too:
they are read again once that wait is over, however much their lane sends meanwhile.

A queue keeps its order: behind one that waits, all of its rule and destination wait. What would
go beyond the caps of its rule waits here, too, for the next hour or day (see ``cap_counts``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from math import ceil
from typing import Literal

from afx.empty import NOTHING
from afx.forwarding.options import NO_OPTIONS, Options
from afx.forwarding.outputs import is_output
from afx.forwarding.pipeline import Delivery, Incoming
from afx.forwarding.rules import ResolvedRule, Route
from afx.node.backfill_state import Backfill
from afx.node.backfills import Backfills
from afx.node.cap_gate import CapGate
from afx.node.outbox import Outbox
from afx.node.postponed_queues import Queue, take_queues
from afx.node.references import Reference
from afx.telegram.facts import TelegramFacts
from afx.telegram.sender import Outcome

_MOST = 100_000
"""References in one queue."""
TOO_MANY = Outcome("refused", reason=f"{_MOST:,} of its rule wait for their time already")
_AT_ONCE = 500
_SOON_SECONDS = 120.0
_LONGEST_SLEEP = 600.0
"""Seconds; the wall clock may be set meanwhile."""
_HELD_SECONDS = 60.0
"""After how long what waits behind old messages is looked at again, if nothing says so before."""
_PASSED_SECONDS = 60.0
"""For so long a change waits for one that has been put off for longer."""
_TOGETHER = 1.0
"""Seconds by which the items of an album may differ: they are sent together."""


class Postponed:
    """The deliveries of one session that are not due yet."""

    __slots__ = (
        "_is_running",
        "_now",
        "_options",
        "_progressed",
        "_queues",
        "_release",
        "_timer",
        "backfills",
        "gate",
    )

    def __init__(
        self,
        now: Callable[[], float],
        release: Callable[[Delivery], bool],
        progressed: Callable[[], None],
        capped: Callable[[int, str], None],
        waiting: Callable[[int, int], int],
    ) -> None:
        """``now`` is the wall clock; ``release`` takes what is due, in its order.

        It returns False for what its lane has already. ``progressed`` is called when there is
        something to commit; ``capped`` is told of a rule of which messages wait because of its
        caps, and until when: "" when none do any more. ``waiting`` is that of ``CapCounts``.
        """
        self._now = now
        self._release = release
        self._progressed = progressed
        self.gate = CapGate(now, capped, waiting)
        self.backfills = Backfills(progressed)
        self._options: Mapping[int, Options] = NOTHING
        """Of the rules that have any."""
        self._queues: Mapping[Queue, Outbox] = NOTHING
        self._timer: asyncio.TimerHandle | None = None
        self._is_running = False

    def load(self, fields: dict[str, str]) -> None:
        """Take what is stored out of a cursor's fields; raises MalformedPositionError."""
        self.gate.counts.load(fields)
        self._queues = take_queues(fields) or NOTHING
        self.backfills.load(fields)

    def use_routes(
        self,
        routes: Mapping[int, tuple[Route, ...]],
        incomplete: Mapping[int, ResolvedRule | None],
    ) -> None:
        """Know the options of all rules; those of ``incomplete`` ones may lack routes now.

        What waits obeys them as they are now: it is due no later than if it came now, and
        copies stay whose rule deletes none any more. That of other rules keeps its time.
        """
        found = {it.rule: it.options for them in routes.values() for it in them}
        found |= {it.id: it.options for it in incomplete.values() if it is not None}
        self._options = {rule: it for rule, it in found.items() if it.is_timed} or NOTHING
        self.gate.use(self._options, incomplete)
        changed = [
            self._obey(name[0], waiting, found[int(name[1:])])
            for (name, _), waiting in self._queues.items()
            if int(name[1:]) in found
        ]
        if any(changed):
            self._progressed()
        self._arm()

    def _obey(self, kind: str, waiting: Outbox, options: Options) -> bool:
        """Let a queue obey its rule's options; returns whether that has changed it."""
        now = ceil(self._now())
        if kind == "c":
            return False
        if kind == "s":
            return waiting.bring_forward(ceil(options.due(now)))
        if options.auto_delete:
            return waiting.bring_forward(now + options.auto_delete)
        return waiting.clear()

    # --- in ------------------------------------------------------------------------------

    def offer(self, delivery: Delivery, message: Incoming) -> Literal["now", "later", "full"]:
        """Return when a message is to be sent; keeps it if it is later.

        ``full``: too many wait already.
        """
        options = self._options.get(delivery.rule)
        is_behind = self.backfills.holds(delivery.rule, delivery.destination)
        if options is None and not self._queues and not is_behind:
            return "now"
        queue = (f"s{delivery.rule}", delivery.destination)
        waiting, now = self._queues.get(queue), self._now()
        joined = (
            options is not None and options.caps is not None and self.gate.joins(queue, message)
        )
        posted = min(TelegramFacts(message).date or now, now)
        if self.collects(delivery):
            delivery.part = "entry"
            return self._append(queue, delivery, options.due(posted) if options else posted)
        due = posted + (options.hold if options else 0)
        is_quiet = options is not None and options.quiet_until(now) > now
        is_capped = (
            not joined and self.gate.counts.closed_until(delivery.rule, delivery.destination) > now
        )
        is_now = not (waiting or is_behind or due > now or is_quiet or is_capped)
        # What another source has put in between does not tear an album apart.
        if is_now or (joined and self.gate.follows(queue, message)):
            self.gate.counts.count(delivery.rule, delivery.destination)
            self.gate.note_given(queue, message)
            return "now"
        return self._append(queue, delivery, due, joined=joined)

    def collects(self, send: Delivery) -> bool:
        """Return whether a message is sent in a digest; outputs get each by itself."""
        options = self._options.get(send.rule)
        return bool(options and options.digest) and not is_output(send.destination)

    def settled(self, delivery: Delivery, outcome: Outcome, *, is_left_out: bool) -> None:
        """Note that a message has left its lane; ``is_left_out``: no copy was made of it."""
        # What a plug-in has dropped is known, with a reason, and has no copy either.
        is_copied = outcome.result != "refused" and not is_left_out and outcome.dead is None
        is_refused = outcome.result == "refused"
        self.backfills.settled(delivery, is_copied=is_copied, is_refused=is_refused)
        counts = self.gate.counts
        counts.settled(delivery.rule, delivery.destination)
        if is_left_out and counts.give_back(delivery.rule, delivery.destination):
            self._arm()

    def delete_later(self, sent: Delivery) -> bool:
        """Note that a copy was made; it is deleted later if its rule says so.

        False: too many wait already.
        """
        options = self._options.get(sent.rule)
        if options is None or not options.auto_delete:
            return True
        queue = (f"d{sent.rule}", sent.destination)
        due = self._now() + options.auto_delete
        return self._append(queue, replace(sent, op="delete"), due) == "later"

    def put_off(self, change: Delivery, seconds: float) -> bool:
        """Let a change of a copy go to its lane later, once who alone can make it may.

        Returns False where too many wait already.
        """
        queue, due = (f"c{change.rule}", change.destination), ceil(self._now() + seconds)
        waiting = self._queues.get(queue)
        if waiting and waiting.last_due > due + _PASSED_SECONDS:
            # What waits for another one's copy, for so long, is looked at once more.
            waiting.bring_forward(due)
            self._arm()
        return self._append(queue, change, due) == "later"

    def follow(self, change: Delivery) -> bool:
        """Return whether a change is of a message that waits here; then it is taken.

        Edits and deletes are seen when the message is read; pins wait behind it.
        """
        waiting = self._queues.get((f"s{change.rule}", change.destination))
        if not waiting or not waiting.contains(replace(change, op="send")):
            return False
        if self.backfills.has_put(change):
            return False  # it is in its lane as an old message
        if change.op in ("pin", "unpin"):
            waiting.append(change, waiting.last_due)
            self._progressed()
        return True

    def has(self, send: Delivery) -> bool:
        """Return whether a message waits here to be sent."""
        waiting = self._queues.get((f"s{send.rule}", send.destination))
        return waiting is not None and waiting.contains(send)

    def _append(
        self, queue: Queue, delivery: Delivery, due: float, *, joined: bool = False
    ) -> Literal["now", "later", "full"]:
        waiting = self._queues.get(queue)
        if waiting is None:
            waiting = Outbox(queue[1], queue=queue[0])
            self._queues = {**self._queues, queue: waiting}
        if not waiting.contains(delivery):
            if waiting.count >= _MOST:
                return "full"
            is_first = not waiting
            # The first of what waits joins nothing here: what is before it is sent already.
            joined = joined and not is_first
            waiting.append(delivery, max(waiting.last_due, ceil(due)), joined=joined)
            if is_first:
                self._arm()
        return "later"

    # --- out -----------------------------------------------------------------------------

    def start(self) -> None:
        """Release what is due: what earlier runs may have sent is known by now."""
        if not self._is_running:
            self._is_running = True
            self._arm()

    def end(self) -> None:
        """Release nothing more; what waits is stored."""
        self._is_running = False
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def is_due_soon(self) -> bool:
        """Return whether a session had better wait for what is due than wake for it."""
        return self.backfills.is_running or 0 < self.next_due() <= self._now() + _SOON_SECONDS

    def next_due(self) -> int:
        """Return when the first of all is due, in Unix seconds; 0: nothing waits."""
        return ceil(min((at for _, at in self._due()), default=0.0))

    def options_of(self, rule: int) -> Options:
        """Return a rule's options, as far as they are about times."""
        return self._options.get(rule, NO_OPTIONS)

    def waiting_for(self, destination: int) -> Iterator[Reference]:
        """Yield the first that are to be sent to a chat: what may have been sent already.

        A commit that was lost had let them leave.
        """
        for (name, chat), waiting in self._queues.items():
            if chat == destination and name[0] == "s":
                yield from islice(waiting.references(), 2 * _AT_ONCE)

    def waiting(self) -> Iterator[tuple[int, Reference]]:
        """Yield all that is to be sent, with its destination."""
        for (name, destination), waiting in self._queues.items():
            if name[0] == "s":
                yield from ((destination, it) for it in waiting.references())

    def seconds_until(self, moment: float) -> float:
        """Return how far a moment in Unix seconds is ahead; it may have passed."""
        return moment - self._now()

    def hindered_for(self, rule: int, destination: int) -> float:
        """Return for how many seconds a rule's quiet hours, or its caps, let nothing pass."""
        now = self._now()
        quiet = self.options_of(rule).quiet_until(now)
        return max(0.0, quiet - now, self.gate.counts.closed_until(rule, destination) - now)

    def let_go(self, it: Backfill) -> set[tuple[int, int]]:
        """Let what waits behind old messages follow, without what is one of those.

        Returns the latter, as (source, message).

        What was read was put into the outbox, if it was to be sent: the second one would take
        the edits that come before it is its turn, and settle as known without making them.
        """
        waiting = self._queues.get((f"s{it.rule}", it.destination))
        gone = {
            (one.source, one.message)
            for one in (waiting.references() if waiting else ())
            if one.op == "send" and it.has_read(one.source, one.message)
        }
        if waiting and gone:
            waiting.drop(lambda one: one.op == "send" and (one.source, one.message) in gone)
        it.doubles.clear()
        self._arm()
        return gone

    def _arm(self) -> None:
        self._stop_timer()
        if not self._is_running:
            return
        self.gate.tell_held(
            (int(name[1:]), it) for (name, _), it in self._queues.items() if it and name[0] == "s"
        )
        if due := self.next_due():
            left = max(0.0, min(_LONGEST_SLEEP, due - self._now()))
            self._timer = asyncio.get_running_loop().call_later(left, self._turn)

    def _due(self) -> Iterator[tuple[Outbox, float]]:
        """Yield each queue that is not empty, and when its first delivery is due."""
        now = self._now()
        for (name, _), waiting in self._queues.items():
            if waiting:
                rule, is_send = int(name[1:]), name[0] == "s"
                options = self._options.get(rule)
                quiet = options.quiet_until(now) if options and is_send else now
                cap = self.gate.until(rule, waiting) if is_send else 0.0
                if is_send and self.backfills.holds(rule, waiting.destination):
                    cap = max(cap, now + _HELD_SECONDS)
                yield waiting, max(float(waiting.first_due), cap, quiet if quiet > now else 0.0)

    def _turn(self) -> None:
        self._timer = None
        now, left = self._now(), _AT_ONCE
        for waiting, due in list(self._due()):
            if due > now:
                continue
            while waiting and waiting.first_due <= now + _TOGETHER and left:
                rule = waiting.first_reference.rule
                if self.gate.until(rule, waiting) > now:
                    break
                [reference] = waiting.first(1)
                waiting.reading = 0
                [ticket] = waiting.begin(1)
                ticket.open = 0
                waiting.advance()
                left -= 1
                is_new = self._release(reference.delivery(waiting.destination))
                if is_new and reference.op == "send":
                    self.gate.counts.count(rule, waiting.destination)
        self._progressed()
        self._arm()

    # --- what is to be stored ------------------------------------------------------------

    def take_fields(self) -> list[str]:
        """Return what has changed since the last call, as field, value, …."""
        queues = [text for it in self._queues.values() for text in it.take_fields()]
        return [*queues, *self.backfills.take_fields()]

    def put_back(self) -> None:
        """What was taken last could not be stored."""
        for it in self._queues.values():
            it.put_back()
        self.gate.counts.put_back()
        self.backfills.put_back()

    def mark_all(self) -> None:
        """Let the next commit write all: Redis has lost its data."""
        for it in self._queues.values():
            it.mark_all()
        self.gate.counts.mark_all()
        self.backfills.mark_all()
