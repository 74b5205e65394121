"""How many copies a session's capped rules have sent in this hour and day, by destination.

A copy counts when it is given to its lane. The counts are stored with the cursor, and before
what they count is sent: so neither a crash nor a move lets a rule send more than its caps. A
message that a crash has cut between the two counts twice at worst, and one that waits in an
outbox already does not count again when it is replayed. What one window has given to a lane that
had to wait counts in the next one, too, in which it is sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from afx.empty import NONE, NOTHING
from afx.forwarding.caps import Caps, Windows
from afx.forwarding.pipeline import Delivery
from afx.telegram.session import MalformedPositionError

_FIELD = re.compile(r"cap:([0-9]{1,10}):(-?[0-9]{1,19})", re.ASCII)
_COUNT = re.compile(r"([0-9]{1,11}):([0-9]{1,9}):([0-9]{1,11}):([0-9]{1,9})", re.ASCII)
_AHEAD = 2 * 86_400
"""Seconds by which a stored window may be ahead of the clock; more is another clock's error."""
Lane = tuple[int, int]
"""A rule, and a destination."""


@dataclass(slots=True)
class _Count:
    hour: int
    in_hour: int
    day: int
    in_day: int


class CapCounts:
    """The counts of one session's rules that have caps."""

    __slots__ = ("_caps", "_counts", "_dirty", "_now", "_sent", "_waiting")

    def __init__(self, now: Callable[[], float], waiting: Callable[[int, int], int]) -> None:
        """``now`` is the wall clock: other nodes read what is stored.

        ``waiting`` returns how many messages of a rule a destination's lane has still to send,
        with those that are not answered yet.
        """
        self._now = now
        self._waiting = waiting
        self._caps: Mapping[int, Caps] = NOTHING
        self._counts: Mapping[Lane, _Count] = NOTHING
        self._dirty: frozenset[Lane] = NONE
        """What is to be stored, or removed."""
        self._sent: frozenset[Lane] = NONE
        """That of the commit that is under way."""

    def __bool__(self) -> bool:
        return bool(self._caps or self._counts)

    def load(self, fields: dict[str, str]) -> None:
        """Take stored counts out of a cursor's fields; raises MalformedPositionError."""
        found: dict[Lane, _Count] = {}
        for name in [it for it in fields if it.startswith("cap:")]:
            match, count = _FIELD.fullmatch(name), _COUNT.fullmatch(fields.pop(name))
            if match is None or count is None:
                raise MalformedPositionError(f"counts are stored as {name[:40]!r}")
            hour, in_hour, day, in_day = map(int, count.groups())
            found[int(match[1]), int(match[2])] = _Count(hour, in_hour, day, in_day)
        self._counts = found or NOTHING

    def use_caps(self, caps: Mapping[int, Caps], incomplete: Iterable[int]) -> None:
        """Know the caps of all rules; those of ``incomplete`` ones may not be known now."""
        self._caps = caps or NOTHING
        kept = {*caps, *incomplete}
        gone = {it for it in self._counts if it[0] not in kept}
        if gone:
            self._dirty |= gone
            self._counts = {it: of for it, of in self._counts.items() if it not in gone} or NOTHING

    def closed_until(self, rule: int, destination: int) -> float:
        """Return when a destination may have its next copy, in Unix seconds; 0: at once."""
        if rule not in self._caps or (rule, destination) not in self._counts:
            return 0.0
        caps = self._caps[rule]
        count, windows = self._of((rule, destination), caps)
        until = 0
        if caps.per_hour and count.in_hour >= caps.per_hour:
            until = windows.hour_end
        if caps.per_day and count.in_day >= caps.per_day:
            until = max(until, windows.day_end)
        return float(until)

    def reached(self, rule: int, destination: int) -> str:
        """Return which cap a destination has reached, and until when; "" for none."""
        until = self.closed_until(rule, destination)
        if not until:
            return ""
        caps = self._caps[rule]
        count, _ = self._of((rule, destination), caps)
        is_of_day = bool(caps.per_day and count.in_day >= caps.per_day)
        most, span = (caps.per_day, "day") if is_of_day else (caps.per_hour, "hour")
        moment = datetime.fromtimestamp(until, UTC)
        return (
            f"{destination} has had its {most:,} of this {span}; it goes on at "
            f"{moment:%Y-%m-%d %H:%M} UTC"
        )

    def count(self, rule: int, destination: int) -> None:
        """Note that a copy is given to its lane, which did not have it yet."""
        caps = self._caps.get(rule)
        if caps is None:
            return
        count, _ = self._of((rule, destination), caps)
        count.in_hour += 1
        count.in_day += 1
        self._dirty |= {(rule, destination)}

    def revived(self, delivery: Delivery) -> None:
        """Note that a dead letter is given to its lane once more: it counts, and does not wait."""
        if delivery.op == "send":
            self.count(delivery.rule, delivery.destination)

    def settled(self, rule: int, destination: int) -> None:
        """Note that a message has left its lane: it was sent in the present window."""
        lane = (rule, destination)
        count = self._counts.get(lane)
        if count is None or rule not in self._caps:
            return
        hour, day = count.hour, count.day
        self._of(lane, self._caps[rule])
        count.in_hour += count.hour > hour
        count.in_day += count.day > day

    def give_back(self, rule: int, destination: int) -> bool:
        """Count a copy no more that was not made; returns whether it was counted."""
        caps, lane = self._caps.get(rule), (rule, destination)
        if caps is None or lane not in self._counts:
            return False
        count, _ = self._of(lane, caps)
        count.in_hour, count.in_day = max(0, count.in_hour - 1), max(0, count.in_day - 1)
        self._dirty |= {lane}
        return True

    def _of(self, lane: Lane, caps: Caps) -> tuple[_Count, Windows]:
        """Return a lane's count in the present windows, and these."""
        now = self._now()
        windows = caps.windows(now)
        found = self._counts.get(lane)
        if found is None or found.hour > now + _AHEAD or found.day > now + _AHEAD:
            found = _Count(windows.hour, 0, windows.day, 0)
            self._counts = {**self._counts, lane: found}
        # Where a clock goes back, the later window counts on.
        if found.hour > windows.hour:
            windows = windows._replace(hour=found.hour, hour_end=found.hour + 3_600)
        elif found.hour < windows.hour:
            found.hour, found.in_hour = windows.hour, self._waiting(*lane)
            self._dirty |= {lane}
        if found.day > windows.day:
            later = caps.windows(found.day)
            windows = windows._replace(day=found.day, day_end=later.day_end)
        elif found.day < windows.day:
            found.day, found.in_day = windows.day, self._waiting(*lane)
        return found, windows

    # --- what is to be stored ----------------------------------------------------------

    def is_unstored(self, rules: Iterable[int]) -> bool:
        """Return whether counts of one of these rules are not stored yet; call it before a send.

        What waits in lanes counts in the present windows from then on.
        """
        if not self._counts:
            return False
        capped = {it: self._caps[it] for it in rules if it in self._caps}
        for lane in list(self._counts):
            if lane[0] in capped:
                self._of(lane, capped[lane[0]])
        if not self._dirty and not self._sent:
            return False
        return not {rule for rule, _ in (*self._dirty, *self._sent)}.isdisjoint(capped)

    def take_fields(self) -> list[str]:
        """Return what has changed since the last call, as field, value, …; "" for none."""
        self._sent, self._dirty = self._dirty, NONE
        return [
            text
            for rule, chat in sorted(self._sent)
            for text in (f"cap:{rule}:{chat}", self._text((rule, chat)))
        ]

    def _text(self, lane: Lane) -> str:
        it = self._counts.get(lane)
        return f"{it.hour}:{it.in_hour}:{it.day}:{it.in_day}" if it else ""

    def put_back(self) -> None:
        """What was taken last could not be stored."""
        self._dirty |= self._sent
        self._sent = NONE

    def note_committed(self) -> None:
        """What was taken last is stored."""
        self._sent = NONE

    def mark_all(self) -> None:
        """Let the next commit write all counts: Redis has lost its data."""
        self._dirty |= frozenset(self._counts)
