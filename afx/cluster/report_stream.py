"""The stream of the nodes' reports: appending, reading, trimming."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import redis

from afx.cluster import keys, streams
from afx.cluster.quarantine import Refused, refused
from afx.cluster.reports import Report, decode, encode

_REPORTS_LIMIT = 200_000
_LAST_MILLISECONDS = 2**62
"""No clock gives such an id."""


@dataclass(slots=True, frozen=True)
class Batch:
    """What one read of the stream gave."""

    last: str
    """The id of the last entry read; the next read begins after it."""
    reports: tuple[Report, ...] = ()
    refused: tuple[Refused, ...] = ()
    is_full: bool = False
    """More entries may be there already."""
    is_woken: bool = False
    """An entry holds nothing: somebody has just asked for something, in SQL."""


def publish(client: redis.Redis, reports: Iterable[Report]) -> None:
    """Append reports to the stream, as one entry."""
    client.xadd(
        keys.REPORTS,
        encode(reports),  # type: ignore[arg-type]
        maxlen=_REPORTS_LIMIT,
        approximate=True,
    )


async def publish_async(client: Any, reports: Iterable[Report]) -> None:
    """Append reports to the stream from a host's loop."""
    await client.xadd(keys.REPORTS, encode(reports), maxlen=_REPORTS_LIMIT, approximate=True)


def block(reports: Iterable[Report]) -> list[str | int | bytes]:
    """Return what lets ``commit.lua`` append reports in the same call."""
    return ["report", keys.REPORTS, _REPORTS_LIMIT, encode(reports)["reports"], 0, 0, 0, 0]


def read(client: redis.Redis, after: str, *, block_seconds: float, limit: int = 500) -> Batch:
    """Return what follows the entry ``after``; waits up to ``block_seconds`` for it."""
    answer: Any = client.xread(
        {keys.REPORTS: after}, count=limit, block=max(1, int(block_seconds * 1000))
    )
    reports: list[Report] = []
    bad: list[Refused] = []
    is_woken = False
    entries = streams.entries(answer)
    for entry, values in entries:
        after = entry
        found, not_used = decode(entry, values)
        reports += found
        bad += not_used
        is_woken = is_woken or not (found or not_used)
    is_full = len(entries) >= limit
    return Batch(after, tuple(reports), tuple(bad), is_full=is_full, is_woken=is_woken)


def position(client: redis.Redis, after: str) -> str:
    """Return where to read on after the entry ``after``; "0" if the stream is a new one.

    A stream that was flushed and begun again, on a clock that went back, gives out ids
    below those that were read.
    """
    try:
        info: Any = client.xinfo_stream(keys.REPORTS)
    except redis.ResponseError:
        return "0"  # there is no stream
    last = str(info["last-generated-id"])
    return after if _entry_id(after) <= _entry_id(last) else "0"


def is_exhausted(last: str) -> bool:
    """Return whether a stream with this last id has, or soon has, no id for more entries.

    Another writer may have added one under an id that no clock gives.
    """
    return _entry_id(last)[0] >= _LAST_MILLISECONDS


def restart(client: redis.Redis, read: str) -> bool:
    """Begin a new stream, unless entries follow ``read``; returns whether it was done."""
    info: Any = client.xinfo_stream(keys.REPORTS)
    if _entry_id(str(info["last-generated-id"])) > _entry_id(read):
        return False
    client.delete(keys.REPORTS)
    return True


def not_credible(entry: str, report: Report) -> Refused:
    """Return a report that parses and is not believed, for the quarantine."""
    return refused(entry, "not credible", encode([report])["reports"])


def trim(client: redis.Redis, read: str) -> None:
    """Remove the entries up to about ``read``."""
    client.xtrim(keys.REPORTS, minid=read, approximate=True)


def _entry_id(text: str) -> tuple[int, int]:
    """Return a stream entry's id as numbers."""
    milliseconds, _, sequence = text.partition("-")
    return int(milliseconds), int(sequence or "0")
