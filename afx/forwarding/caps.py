"""How many copies a rule sends to one destination in an hour and in a day, at most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from afx.forwarding.forms import Table, Whole
from afx.forwarding.hours import ZONE

_MOST = 1_000_000


class Windows(NamedTuple):
    """The hour and the day of a time: begin and end, in Unix seconds."""

    hour: int
    hour_end: int
    day: int
    day_end: int


def _wrong_caps(value: Mapping[str, Any]) -> str | None:
    if "per_hour" not in value and "per_day" not in value:
        return "there is neither 'per_hour' nor 'per_day'"
    if value.get("per_hour", 0) > value.get("per_day", _MOST):
        return "'per_hour' is more than 'per_day', and would never be reached"
    return None


CAPS = Table(
    "How many copies each destination of the rule gets at most; what is more waits for the next "
    "hour, or day.",
    {
        "per_hour": Whole("Copies in an hour of the clock.", 1, _MOST),
        "per_day": Whole("Copies in a day.", 1, _MOST),
        "zone": ZONE,
    },
    whole=_wrong_caps,
)


@dataclass(slots=True, frozen=True)
class Caps:
    """A rule's caps, as a node uses them; 0: none."""

    per_hour: int = 0
    per_day: int = 0
    zone: tzinfo = UTC

    def windows(self, now: float) -> Windows:
        """Return the hour and the day of the zone's clock in which a time is."""
        local = datetime.fromtimestamp(now, UTC).astimezone(self.zone)
        # Where clocks are put back, an hour is there twice: ``fold`` tells them apart.
        hour = int(local.replace(minute=0, second=0, microsecond=0).timestamp())
        midnight = datetime.combine(local.date(), time(), self.zone)
        tomorrow = datetime.combine(local.date() + timedelta(days=1), time(), self.zone)
        return Windows(hour, hour + 3_600, int(midnight.timestamp()), int(tomorrow.timestamp()))


def compile_caps(value: Mapping[str, Any]) -> Caps:
    """Return caps as a node uses them; raises ValueError, and LookupError for a zone."""
    numbers = [value.get(it, 0) for it in ("per_hour", "per_day")]
    if any(type(it) is not int or it < 0 for it in numbers) or not any(numbers):
        raise ValueError("caps are not numbers of copies")
    return Caps(numbers[0], numbers[1], ZoneInfo(value.get("zone", "UTC")))


def caps_sentence(value: Mapping[str, Any]) -> str:
    """Return caps in words."""
    parts = [
        f"{value[name]:,} {'copy' if value[name] == 1 else 'copies'} in {span}"
        for name, span in (("per_hour", "an hour"), ("per_day", "a day"))
        if name in value
    ]
    return (
        f"Each destination gets at most {' and '.join(parts)} ({value.get('zone', 'UTC')}); what "
        "is more waits for the next one."
    )
