"""When sessions are placed: one rule, without I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

_FULL_ROUND_SECONDS = 1.0
_FULL_ROUND_SHARE = 0.1
"""Full rounds may take this share of the leader's time."""


@dataclass(slots=True, frozen=True)
class Round:
    """Which sessions one round of placement considers."""

    sessions: frozenset[int] | None
    """None: all that wait."""

    @property
    def is_full(self) -> bool:
        """Whether it considers all sessions that wait."""
        return self.sessions is None


class PlacementSchedule:
    """Says when a round of placement is due, and which sessions it considers.

    The rule: a round is due for the sessions whose assignment has ended, as soon
    as their cool-down is over; it also considers the overflow, because room may
    have appeared. A full round considers all sessions that wait. It is due a
    second after the last one, later when that took long, and at once when the
    last round left something behind that may fit now.
    """

    def __init__(
        self, now: float, *, cool_down_seconds: float, tick_seconds: float, most: int
    ) -> None:
        """``most`` is how many sessions a round for some sessions considers."""
        self._cool_down = cool_down_seconds
        self._tick = tick_seconds
        self._most = most
        self._ended: dict[int, float] = {}
        """session → from when it may be placed again."""
        # What ended under the previous leader may not have cooled down yet.
        self._next_full = now + cool_down_seconds

    def note_ended(self, sessions: Iterable[int], now: float) -> None:
        """Note that the assignments of sessions have ended."""
        self._ended.update(dict.fromkeys(sessions, now + self._cool_down))

    def note_woken(self, sessions: Iterable[int], now: float) -> None:
        """Note that sessions which hibernated are to run: the next round considers them.

        The cool-down of one that has just ended goes on.
        """
        for it in sessions:
            self._ended.setdefault(it, now)

    def note_gone(self, sessions: Iterable[int]) -> None:
        """Note that sessions were placed or removed."""
        for it in sessions:
            self._ended.pop(it, None)

    def has_ended_sessions(self) -> bool:
        """Return whether a session has ended that no round has considered since."""
        return bool(self._ended)

    def is_cooling(self, session: int, now: float) -> bool:
        """Return whether the cool-down of a session is not over yet."""
        return self._ended.get(session, now) > now

    def next_round(self, now: float, overflow: Collection[int]) -> Round | None:
        """Return the round that is due now, or None; ``overflow`` are sessions in it."""
        if now >= self._next_full:
            return Round(None)
        return self.round_for_ended(now, overflow)

    def round_for_ended(self, now: float, overflow: Collection[int]) -> Round | None:
        """Return the round for sessions that have ended, also when a full one is due."""
        cooled = [it for it, until in self._ended.items() if until <= now]
        if not cooled:
            return None
        sessions = frozenset((*cooled, *overflow))
        return Round(None if len(sessions) > self._most else sessions)

    def finish(self, done: Round, now: float, *, read_seconds: float, again: bool) -> None:
        """Note that a round that began at ``now`` is done.

        ``read_seconds`` is how long it took to find the sessions that wait, ``again``
        whether it left something behind that may fit now.
        """
        self._ended = {it: until for it, until in self._ended.items() if until > now}
        if done.is_full:
            self._next_full = now + max(_FULL_ROUND_SECONDS, read_seconds / _FULL_ROUND_SHARE)
        if again:
            self._next_full = now + self._tick
