"""When a schedule's times are, and what its policies say about one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from croniter import CroniterBadDateError, croniter

_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)
_LATE = timedelta(seconds=60)
"""A time that is missed by more was missed because no coordinator led."""


@dataclass(slots=True, frozen=True)
class Turn:
    """What to do at a schedule's time."""

    submits: bool
    cancels_last: bool = False
    note: str = ""
    failures: int = 0
    pauses: bool = False


def next_time(cron: str, after: datetime) -> datetime:
    """Return the first time of a cron expression after another one (UTC)."""
    found: datetime = croniter(cron, after).get_next(datetime)
    return found


def is_cron(text: str) -> bool:
    """Return whether a text is a cron expression of five fields that has a time at all."""
    if len(text.split()) != 5 or len(text) > 100 or not croniter.is_valid(text):
        return False
    try:
        next_time(text, _SOME_DAY)
    except CroniterBadDateError:
        return False  # such as the 31st of February
    return True


def decide(
    *,
    at: datetime,
    now: datetime,
    states: frozenset[str],
    overlap: str,
    catch_up: str,
    failures: int,
    pause_after: int,
) -> Turn:
    """Return what to do at a time, given the states of the tasks of the last one."""
    unfinished = bool(states & {"waiting", "queued", "published", "running", "paused"})
    # While they run, and are looked at again at the next time, nothing has failed yet.
    if "failed" in states and not (unfinished and overlap == "skip"):
        failures += 1
    elif states and not unfinished:
        failures = 0
    if pause_after and failures >= pause_after:
        note = f"paused: tasks failed {failures} times in a row"
        return Turn(submits=False, note=note, failures=failures, pauses=True)
    if now - at > _LATE and catch_up == "skip":
        return Turn(
            submits=False, note="skipped: no coordinator led at its time", failures=failures
        )
    if unfinished and overlap == "skip":
        note = "skipped: tasks of the last time have not finished"
        return Turn(submits=False, note=note, failures=failures)
    replaces = unfinished and overlap == "replace"
    return Turn(submits=True, cancels_last=replaces, failures=failures)
