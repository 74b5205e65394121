"""Hours of the day in a time zone, as rules name them: ``22:00-06:00``, ``Europe/Berlin``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from afx.forwarding.forms import Many, Text

_HOURS = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
MOST_SPANS = 24
Span = tuple[time, time]


def span(text: str) -> Span:
    """Return a span's begin and end; raises ValueError for a text that is none."""
    found = _HOURS.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:20]!r} is no span of hours")
    return time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))


def is_within(now: time, begin: time, end: time) -> bool:
    """Return whether a time is in a span; one that ends before it begins goes over midnight."""
    return begin <= now < end if begin < end else now >= begin or now < end


def _wrong_hours(text: str) -> str | None:
    return None if _HOURS.fullmatch(text) else "write hours as 08:00-18:30"


def _wrong_zone(text: str) -> str | None:
    try:
        ZoneInfo(text)
    except (OSError, ValueError, LookupError):
        return "there is no such time zone; write one as Europe/Berlin or UTC"
    return None


HOURS = Many(Text("A span such as 22:00-06:00.", 11, _wrong_hours), MOST_SPANS)
ZONE = Text("The time zone, UTC without one.", 64, _wrong_zone)


@dataclass(slots=True, frozen=True)
class Hours:
    """Spans of each day, in a time zone."""

    spans: Sequence[Span]
    zone: tzinfo

    def until(self, now: float) -> float:
        """Return when the span ends in which a time is; the time itself where it is in none.

        Both are in Unix seconds. The spans do not cover the whole day (``wrong_quiet``).
        """
        moment = datetime.fromtimestamp(now, UTC)
        for _ in range(2 * MOST_SPANS):
            local = moment.astimezone(self.zone)
            found = next((it for it in self.spans if is_within(local.time(), *it)), None)
            if found is None:
                break
            days = 1 if local.time() >= found[1] else 0
            end = datetime.combine(local.date() + timedelta(days=days), found[1], self.zone)
            # Where clocks are put back, an hour is there twice: the end is in the same one.
            end = end.replace(fold=local.fold)
            moment = max(end.astimezone(UTC), moment + timedelta(minutes=1))
        return max(now, moment.timestamp())


def compile_hours(value: Mapping[str, Any]) -> Hours:
    """Return hours as a node uses them; raises ValueError, and LookupError for a zone."""
    return Hours(tuple(map(span, value["hours"])), ZoneInfo(value.get("zone", "UTC")))


def wrong_quiet(value: Mapping[str, Any]) -> str | None:
    """Return what is wrong with hours that must leave a part of the day."""
    spans = [span(it) for it in value.get("hours", ())]
    minutes = (time(it // 60, it % 60) for it in range(24 * 60))
    if all(any(is_within(it, *each) for each in spans) for it in minutes):
        return "this is the whole day: nothing would ever be sent"
    return None
