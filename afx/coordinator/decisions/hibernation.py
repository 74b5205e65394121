"""Which sessions hibernate, and when they wake; without I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from afx.config import Settings

SPREAD = 0.1
"""Sessions that fell asleep at once wake over this share of the time, so that none is late."""
AWAKE_SECONDS = 600.0
"""A session that has run for so long sleeps, also when it has not caught up."""
_DAY_SECONDS = 86_400
_FEWEST_DAYS, _LEFT_DAYS = 1, 2
"""An account may set 1 to 366 days without use (TDLib, setInactiveSessionTtl)."""
LOW_SHARE = 0.05
"""A node that is short of RAM lets sessions hibernate until this share of its RAM is free."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Times:
    """The settings of hibernation, in seconds."""

    poll: float
    """A session with rules is asleep for so long at most."""
    longest: float
    """Any session is: the login of an account that never connects expires."""
    fresh: float
    """A login that is younger does not hibernate."""
    unused: float
    """A session without an enabled rule hibernates after so long; 0: never."""
    quiet: float
    """One that has forwarded nothing for so long may, when its node is short of RAM; 0: never."""

    @classmethod
    def from_settings(cls, settings: Settings) -> Times:
        """Return them as the settings say."""
        return cls(
            poll=settings.hibernate_poll_minutes * 60,
            longest=settings.hibernate_wake_days * 86_400,
            fresh=settings.hibernate_fresh_hours * 3600,
            unused=settings.hibernate_unused_minutes * 60,
            quiet=settings.hibernate_after_minutes * 60,
        )


def unused_seconds(login_days: int | None) -> float:
    """Return for how long a login may be unused.

    ``login_days`` is after how many days Telegram ends it, None when nobody has asked: then
    as if they were the fewest. Two days are left for a cluster that is away, of few days half.
    """
    days = _FEWEST_DAYS if login_days is None else login_days
    return max(days / 2, days - _LEFT_DAYS) * _DAY_SECONDS


def sleep_seconds(reason: str, times: Times, chance: float, login_days: int | None) -> float:
    """Return for how long a session sleeps; ``chance`` is from 0 to 1.

    A session without a rule has nothing to catch up: it wakes for its login only, of which
    ``login_days`` are as in ``unused_seconds``.
    """
    longest = min(times.longest, unused_seconds(login_days))
    most = longest if reason == "no_rule" else min(times.poll, longest)
    return most * (1.0 - SPREAD * chance)


@dataclass(slots=True, frozen=True, kw_only=True)
class AwakeSession:
    """A session that is awake for a short time."""

    session: int
    reason: str
    runs: bool
    """A node runs it, with the present revision of its rules."""
    has_caught_up: bool
    has_tasks: bool
    has_forwarded: bool
    """It has forwarded something since it woke."""
    running_seconds: float
    """Since its node was first seen to run it; not since it woke."""


def next_state(session: AwakeSession) -> str:
    """Return ``sleep``, ``stay`` (its reason to hibernate has ended), or ``wait``."""
    if not session.runs or session.has_tasks:
        return "wait"
    if session.reason == "quiet" and session.has_forwarded:
        return "stay"
    if session.has_caught_up or session.running_seconds >= AWAKE_SECONDS:
        return "sleep"
    return "wait"


@dataclass(slots=True, frozen=True)
class Quiet:
    """A running session of a node that is short of RAM."""

    session: int
    premium: bool
    idle_seconds: float
    """Since it last forwarded a message."""
    bytes: int
    """What its end sets free."""


def needed_bytes(free: int, limit: int) -> int:
    """Return how much RAM a node has to set free; ``free`` is what may still be placed on it.

    Nothing before its headroom is touched, then down to a lower target, so that it does
    not begin again with the next session.
    """
    return 0 if free >= 0 else round(limit * LOW_SHARE) - free


def chosen(sessions: Iterable[Quiet], needed: int, quiet_seconds: float, most: int) -> list[int]:
    """Return which sessions of a node hibernate: free users' first, the longest quiet first.

    As few as set ``needed`` bytes free, at most ``most``; none that has forwarded something
    within ``quiet_seconds``.
    """
    ordered: Sequence[Quiet] = sorted(
        (it for it in sessions if it.idle_seconds >= quiet_seconds),
        key=lambda it: (it.premium, -it.idle_seconds, it.session),
    )
    found: list[int] = []
    for it in ordered[: max(0, most)]:
        if needed <= 0:
            break
        found.append(it.session)
        needed -= it.bytes
    return found
