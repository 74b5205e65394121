"""What follows from the end of one run of a task."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

_FIRST_PAUSE_SECONDS = 2.0
_FACTOR = 4.0
_LONGEST_PAUSE_SECONDS = 3600.0


class RunEnd(StrEnum):
    """How a run ended, as far as it matters for what follows."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TRY_AGAIN = "try_again"
    SNOOZED = "snoozed"
    MOVED = "moved"
    CANCELLED = "cancelled"
    NODE_DIED = "node_died"
    NOT_RUN = "not_run"
    """It was taken back, or Redis has lost it."""


@dataclass(slots=True, frozen=True)
class NextState:
    """The state of a task after a run, and what the run cost."""

    state: str
    """``succeeded``, ``failed``, ``cancelled``, ``paused``, ``queued`` or ``waiting``."""
    attempts: int
    pause_seconds: float = 0.0

    @property
    def is_final(self) -> bool:
        """Whether the task has finished."""
        return self.state in ("succeeded", "failed", "cancelled")


def next_state(
    end: RunEnd,
    *,
    attempts: int,
    max_attempts: int,
    cancelling: bool,
    jitter: float,
    pause_seconds: float = 0.0,
    pausing: bool = False,
) -> NextState:
    """Return what becomes of a task.

    ``attempts`` are those that it has used before this run, ``jitter`` is from 0 to 1,
    ``pause_seconds`` what Telegram asks to wait.
    """
    match end:
        case RunEnd.SUCCEEDED:
            return NextState("succeeded", 1)
        case RunEnd.FAILED:
            return NextState("failed", 1)
        case RunEnd.CANCELLED if cancelling or not pausing:
            return NextState("cancelled", 1)
    if cancelling:
        return NextState("cancelled", 0)
    if pausing:
        return NextState("paused", 0)
    match end:
        case RunEnd.MOVED | RunEnd.NOT_RUN:
            return NextState("queued", 0)
        case RunEnd.SNOOZED:
            # Not all that were told to wait may come back at the same moment.
            return NextState("waiting", 0, pause_seconds + jitter)
    if attempts + 1 >= max_attempts:
        return NextState("failed", 1)
    if end is RunEnd.NODE_DIED:
        return NextState("queued", 1)
    return NextState("waiting", 1, back_off_seconds(attempts + 1, jitter))


def back_off_seconds(attempts: int, jitter: float) -> float:
    """Return the pause before the next attempt: exponential, from half to the whole."""
    exponent = min(attempts - 1, 20)
    pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * _FACTOR**exponent)
    return pause * (0.5 + 0.5 * jitter)
