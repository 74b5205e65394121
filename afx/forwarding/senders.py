"""The senders of a rule, and which of them sends next; without I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from afx.forwarding.forms import Many, Text

SHORT_SECONDS = 1.0
"""A sender that has to wait for no longer is waited for: a handover would gain nothing."""
MOST_SENDERS = 20

SENDERS = Many(Text("A session of the same user; it posts to the destinations.", 64), MOST_SENDERS)


def compile_senders(value: Any) -> tuple[tuple[str, int], ...]:
    """Return senders with their ids, in order; 0 where none is given.

    ``value`` has ids by names, or names alone. Raises ValueError for anything else.
    """
    named = value if isinstance(value, Mapping) else dict.fromkeys(value, 0)
    if not all(isinstance(it, str) and type(number) is int for it, number in named.items()):
        raise ValueError("this node does not know a rule's senders")
    return tuple(named.items())


def senders_sentence(names: Sequence[str]) -> str:
    """Return senders in words."""
    return (
        f"Copies are posted by {' or '.join(names)}: by one of them, until it has to wait or "
        "cannot go on."
    )


@dataclass(slots=True, frozen=True)
class Held:
    """Why a sender sends nothing for now."""

    until: float
    """A monotonic time, in seconds."""
    reason: str
    is_trouble: bool = False
    """Somebody has to do something about it; a wait passes by itself."""


@dataclass(slots=True, frozen=True)
class Choice:
    """Who sends next, or for how long nobody does."""

    sender: int = 0
    wait: float = 0.0
    """Seconds; the sender is 0 then."""


def choose(
    senders: Sequence[int],
    last: int,
    held: Mapping[int, Held],
    now: float,
    *,
    required: int = 0,
) -> Choice:
    """Return who sends next.

    The ``last`` one goes on unless it is held for long; then it is the next one of the pool's
    order that is not. ``required`` is who alone may be asked: what may have been sent already
    is asked again by the same account.
    """
    if required:
        left = _left(held, required, now)
        return Choice(required) if left <= 0 else Choice(wait=left)
    if not senders:
        return Choice(wait=SHORT_SECONDS)
    if last in senders and (left := _left(held, last, now)) <= SHORT_SECONDS:
        return Choice(last) if left <= 0 else Choice(wait=left)
    start = senders.index(last) + 1 if last in senders else 0
    for it in (*senders[start:], *senders[:start]):
        if _left(held, it, now) <= 0:
            return Choice(it)
    return Choice(wait=min(_left(held, it, now) for it in senders))


def _left(held: Mapping[int, Held], sender: int, now: float) -> float:
    found = held.get(sender)
    return found.until - now if found else 0.0
