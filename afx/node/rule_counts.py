"""Counts what becomes of messages by rule, for all sessions of a host.

It is asked for each message, so it does as little as it can: what no filter takes is counted
by the routes of its chat, and by rule only when the counts are taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from afx.clock import Clock
from afx.cluster.rule_counts import RuleTally, bucket_of
from afx.forwarding.options import NO_OPTIONS, Options
from afx.forwarding.pipeline import Delivery
from afx.forwarding.rules import Route

_LATE_SECONDS = 10.0
"""A message that is older than this when it arrives was missed, or had to wait: its latency
counts since it was posted, which Telegram tells in whole seconds."""


class RuleCounts:
    """The counts since they were taken last."""

    __slots__ = ("_clock", "_tallies", "_unwanted")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tallies: dict[int, RuleTally] = {}
        self._unwanted: dict[int, tuple[Sequence[Route], int]] = {}
        """id of a chat's routes → (they, messages that the filters of none took)."""

    def now(self) -> float:
        """Return the time at which a message is taken, for ``forwarded``."""
        return self._clock.monotonic()

    def forwarded(self, delivery: Delivery, taken: float, options: Options = NO_OPTIONS) -> None:
        """Count a delivery that was sent; ``taken`` is when its message came, 0 if unknown.

        The time for which its rule's ``options`` hold a message back does not count; what
        waits for an operator has no latency.
        """
        posted, age = delivery.posted, 0.0
        if isinstance(posted, datetime):
            at = posted.timestamp()
            age = self._clock.time() - at - options.held(at)
        if taken and age < _LATE_SECONDS:
            age = self._clock.monotonic() - taken
        it = self._of(delivery.rule)
        it.forwarded += 1
        if options.review:
            return
        bucket = bucket_of(age)
        it.latencies[bucket] = it.latencies.get(bucket, 0) + 1

    def skipped(self, routes: Sequence[Route], taken: Sequence[Route] = ()) -> None:
        """Count a message of these routes for the rules that do not take it."""
        if not taken:
            key = id(routes)
            known = self._unwanted.get(key)
            self._unwanted[key] = (routes, 1 if known is None else known[1] + 1)
        elif len(taken) < len(routes):
            for rule in {it.rule for it in routes} - {it.rule for it in taken}:
                self._of(rule).skipped += 1

    def doubled(self, rules: Iterable[int]) -> None:
        """Count a message that these rules have forwarded already, from whichever source."""
        for rule in rules:
            self._of(rule).skipped += 1

    def waited(self, rules: Iterable[int], seconds: float) -> None:
        """Count that Telegram wants no sends to a destination of these rules."""
        for rule in rules:
            it = self._of(rule)
            it.waits += 1
            it.waited_ms += int(seconds * 1000)

    def take(self) -> dict[int, RuleTally]:
        """Return the counts by rule; those that follow start from zero."""
        unwanted, self._unwanted = self._unwanted, {}
        for routes, count in unwanted.values():
            for rule in {it.rule for it in routes}:
                self._of(rule).skipped += count
        tallies, self._tallies = self._tallies, {}
        return tallies

    def _of(self, rule: int) -> RuleTally:
        found = self._tallies.get(rule)
        if found is None:
            found = self._tallies[rule] = RuleTally()
        return found
