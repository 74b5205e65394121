"""The brake: when most nodes seem to die at once, the cause is likely the observer itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(slots=True, frozen=True)
class Brake:
    """The brake's limits and its state; times are monotonic seconds."""

    share: float = 0.55
    window: float = 30.0
    hold: float = 30.0
    slow: float = 60.0
    """How long after a hold sessions start at a tenth of the rate."""
    held_until: float = 0.0
    slow_until: float = 0.0


def recent(brake: Brake, lost_at: Mapping[str, float], now: float) -> dict[str, float]:
    """Return the losses within the window; older ones no longer count."""
    return {it: at for it, at in lost_at.items() if now - at <= brake.window}


def braked(brake: Brake, lost_at: Mapping[str, float], live: int, now: float) -> Brake:
    """Return the brake, given when nodes were lost and how many are live.

    It holds when ``share`` of the nodes were lost within ``window``; nodes that
    left by themselves are not lost. It does not hold twice for the same loss.
    A ``hold`` of 0 disables it.
    """
    if not brake.hold:
        return brake
    lost = sum(at > brake.held_until for at in recent(brake, lost_at, now).values())
    if now < brake.slow_until or lost < 2:
        return brake
    if lost / (lost + live) < brake.share:
        return brake
    until = now + brake.hold
    return replace(brake, held_until=until, slow_until=until + brake.slow)


def is_held(brake: Brake, now: float) -> bool:
    """Return whether no session may be placed now."""
    return now < brake.held_until


def rate(brake: Brake, now: float) -> float:
    """Return the share of the usual rate at which sessions may start now."""
    if is_held(brake, now):
        return 0.0
    return 0.1 if now < brake.slow_until else 1.0
