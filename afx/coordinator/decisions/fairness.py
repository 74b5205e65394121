"""The order in which waiting sessions are placed: premium first, without starvation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BOOST_SECONDS = 300.0
"""This much is added to the waiting time of a premium session."""
FREE_EVERY = 10
"""One of this many grants goes to a free session, while any waits."""


@dataclass(slots=True, frozen=True)
class Waiter:
    """A session that waits, and for how many seconds."""

    session: int
    premium: bool
    waited: float
    awake: bool = False
    """It hibernates, and is awake for a short time: it may be late, others may not."""


def fair_order(waiting: Sequence[Waiter], premium_run: int = 0) -> list[int]:
    """Return sessions in the order in which they are given places.

    They are ordered by the time they have waited, with a boost for premium
    sessions: one that came later overtakes, up to the boost. Of those that have
    waited as long, as after the loss of a node, sessions that are awake for a
    short time come last. ``premium_run`` is how many grants in a row went to
    premium sessions before.
    """
    premium = sorted((it for it in waiting if it.premium), key=_rank)
    free = sorted((it for it in waiting if not it.premium), key=_rank)
    order: list[int] = []
    p = f = 0
    run = premium_run
    while p < len(premium) or f < len(free):
        to_free = f < len(free) and (
            p == len(premium)
            or run >= FREE_EVERY - 1
            or free[f].waited > premium[p].waited + BOOST_SECONDS
        )
        if to_free:
            order.append(free[f].session)
            f, run = f + 1, 0
        else:
            order.append(premium[p].session)
            p, run = p + 1, run + 1
    return order


def run_after(premium_run: int, granted: Sequence[bool]) -> int:
    """Return the run of premium grants after some more; True stands for premium."""
    for premium in granted:
        premium_run = premium_run + 1 if premium else 0
    return premium_run


def _rank(it: Waiter) -> tuple[float, bool, int]:
    return -it.waited, it.awake, it.session
