"""What was read from Redis and not used: counted, and the newest of it kept for people.

Reports that do not parse or are not credible go there, and every other record that is
malformed. Scripts write there too
(``lua/spoiled.lua``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import redis

from afx.cluster import fields, keys
from afx.logs import logger

_STREAM_LIMIT = 1_000
_TEXT_LIMIT = 2_000
_REMEMBERED = 10_000


@dataclass(slots=True, frozen=True)
class Refused:
    """A record, or a part of one, that was not used."""

    entry: str
    """The id of a report's stream entry, or the key of any other record."""
    reason: str
    text: str
    """What was received, shortened."""


def refused(entry: str, reason: str, text: str) -> Refused:
    """Return a refused record whose texts Redis can take."""
    return Refused(_storable(entry), _storable(reason), _storable(text))


def quarantine(client: redis.Redis, records: Iterable[Refused]) -> None:
    """Keep refused records, the newest thousand of them; counts all."""
    rows = list(records)
    if not rows:
        return
    pipe = client.pipeline(transaction=False)
    for it in rows:
        pipe.xadd(
            keys.REPORTS_REFUSED,
            {"entry": it.entry, "reason": it.reason, "text": it.text},
            maxlen=_STREAM_LIMIT,
            approximate=True,
        )
    pipe.incrby(keys.REPORTS_REFUSED_COUNT, len(rows))
    # Should someone have put other values there, the refusal itself still stands.
    pipe.execute(raise_on_error=False)


def refused_count(client: redis.Redis) -> int:
    """Return how many records, or parts of records, were ever refused."""
    [text] = client.mget([keys.REPORTS_REFUSED_COUNT])  # answers None for another type
    return fields.integer(text) or 0


class Quarantine:
    """Refuses records that are read again and again: each content is noted once."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._noted: dict[Refused, None] = {}

    def note(self, records: Iterable[Refused]) -> None:
        """Keep and count those that were not noted before."""
        fresh = [it for it in records if it not in self._noted]
        if not fresh:
            return
        if len(self._noted) > _REMEMBERED:
            self._noted.clear()
        self._noted.update(dict.fromkeys(fresh))
        for it in fresh:
            logger().error("record_refused", key=it.entry, reason=it.reason)
        quarantine(self._redis, fresh)


def _storable(text: str) -> str:
    return text[:_TEXT_LIMIT].encode("utf-8", "backslashreplace").decode()
