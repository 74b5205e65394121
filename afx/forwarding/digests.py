"""The option ``digest``: messages are collected, and sent together at certain times."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from hashlib import blake2b
from struct import Struct
from typing import Any
from zoneinfo import ZoneInfo

from afx.forwarding.forms import Duration, Many, Table, Text, Whole, duration_text
from afx.forwarding.hours import ZONE

LENGTH = 300
"""UTF-16 units of an entry's text without a setting."""
_SHORTEST_LENGTH, _LONGEST_LENGTH = 20, 1_000
_DAY = 86_400
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
_MOST_TIMES = 24
_LATE = 2
"""Seconds after its time at which a digest is sent: what was posted just before is in it, too."""
_RANDOM_ID = Struct("<q")
_KEY = Struct("<qq")


def _wrong_time(text: str) -> str | None:
    return None if _TIME.fullmatch(text) else "write a time of day as 08:00"


def _wrong_digest(value: Mapping[str, Any]) -> str | None:
    if ("every" in value) == ("at" in value):
        return "give either 'every' or 'at'"
    return None


DIGEST = Table(
    "When the messages that were collected are sent together, as one message or as few.",
    {
        "every": Duration("How often, counted from midnight.", 60, _DAY),
        "at": Many(Text("A time of day such as 08:00.", 5, _wrong_time), _MOST_TIMES),
        "zone": ZONE,
        "length": Whole(
            f"Characters of each message's text; {LENGTH} without a setting.",
            _SHORTEST_LENGTH,
            _LONGEST_LENGTH,
        ),
    },
    whole=_wrong_digest,
)


@dataclass(slots=True, frozen=True)
class Digest:
    """A rule's digests, as a node uses them."""

    every: int = _DAY
    """Seconds from one to the next, counted from midnight; not used with ``at``."""
    at: tuple[time, ...] = ()
    """At which times of the day."""
    zone: tzinfo = UTC
    length: int = LENGTH
    """UTF-16 units of an entry's text."""

    def due(self, posted: float) -> int:
        """Return when a message is sent that was posted then, in Unix seconds."""
        return self.next_time(posted) + _LATE

    def next_time(self, after: float) -> int:
        """Return the time of the first digest after a time; both are in Unix seconds."""
        local = datetime.fromtimestamp(after, UTC).astimezone(self.zone)
        days = [local.date() + timedelta(days=it) for it in range(3)]
        if self.at:
            # A time that clocks put forward leave out is an hour later then.
            moments = (datetime.combine(day, at, self.zone) for day in days for at in self.at)
            return min(int(it.timestamp()) for it in moments if it.timestamp() > after)
        midnight = int(datetime.combine(days[0], time(), self.zone).timestamp())
        tomorrow = int(datetime.combine(days[1], time(), self.zone).timestamp())
        due = midnight + (int(after) - midnight) // self.every * self.every + self.every
        return min(due, tomorrow) if after < tomorrow else due


ANY = Digest()
"""That of a rule which has none any more, of which something waits."""


def compile_digest(value: Any) -> Digest:
    """Return digests as a node uses them; raises ValueError, and LookupError for a zone."""
    if not isinstance(value, Mapping) or not value:
        raise ValueError("the option 'digest' has no times")
    every, at, length = value.get("every", _DAY), value.get("at", ()), value.get("length", LENGTH)
    if type(every) is not int or type(length) is not int or every < 1 or length < 1:
        raise ValueError("the option 'digest' has no times")
    if isinstance(at, str) or not all(isinstance(it, str) and _TIME.fullmatch(it) for it in at):
        raise ValueError("the option 'digest' has times that are none")
    times = tuple(sorted(time.fromisoformat(it) for it in at))
    return Digest(every, times, ZoneInfo(value.get("zone", "UTC")), length)


def digest_id(rule: int, destination: int, messages: Iterable[tuple[int, int]]) -> int:
    """Return the id by which Telegram recognises a repeated send of a digest's message.

    It is derived from all that is in it, as sources and messages (see ``random_id``).
    """
    made = blake2b(b"digest" + _KEY.pack(rule, destination), digest_size=8)
    for it in messages:
        made.update(_KEY.pack(*it))
    return int(_RANDOM_ID.unpack(made.digest())[0]) or 1


def shown_digest(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the option as people write it, if there is one."""
    value = options.get("digest")
    if not value or "every" not in value:
        return {}
    return {"digest": {**value, "every": duration_text(value["every"])}}


def digest_sentence(value: Mapping[str, Any]) -> str:
    """Return the option in words."""
    when = (
        f"at {', '.join(value['at'])}"
        if "at" in value
        else f"every {duration_text(value['every'])}"
    )
    return (
        f"Messages are collected, and sent together {when} ({value.get('zone', 'UTC')}), each "
        f"with {value.get('length', LENGTH)} characters of its text, as it is then; what is "
        "deleted before is left out, and sent digests are not changed."
    )
