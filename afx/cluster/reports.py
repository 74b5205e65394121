"""The stream on which nodes report, and the coordinator's events."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import redis

from afx.cluster import keys

ReportKind = Literal["running", "stopped", "failed", "died", "trouble", "active"]
_REPORTS_KEPT = 200_000
_EVENTS_KEPT = 2_000


@dataclass(slots=True, frozen=True)
class Report:
    """One thing that a node says happened.

    ``active`` lists in its reason, as JSON, the sessions that forwarded lately.
    """

    kind: ReportKind
    node: str
    incarnation: str
    session: int = 0
    epoch: int = 0
    reason: str = ""


def encode(reports: Iterable[Report]) -> dict[str, str]:
    """Return reports as the fields of one stream entry."""
    return {"reports": json.dumps([asdict(it) for it in reports], separators=(",", ":"))}


def publish(client: redis.Redis, reports: Iterable[Report]) -> None:
    """Append reports to the stream, as one entry."""
    client.xadd(
        keys.REPORTS,
        encode(reports),  # type: ignore[arg-type]
        maxlen=_REPORTS_KEPT,
        approximate=True,
    )


async def publish_async(client: Any, reports: Iterable[Report]) -> None:
    """Append reports to the stream from a host's loop."""
    await client.xadd(keys.REPORTS, encode(reports), maxlen=_REPORTS_KEPT, approximate=True)


def read(
    client: redis.Redis, after: str, *, block_seconds: float, most: int = 500
) -> tuple[str, list[Report]]:
    """Return (id of the last entry read, the reports after ``after``).

    Waits up to ``block_seconds`` for the first one.
    """
    answer: Any = client.xread(
        {keys.REPORTS: after}, count=most, block=max(1, int(block_seconds * 1000))
    )
    found: list[Report] = []
    for entry, fields in _entries(answer):
        after = entry
        found += [Report(**it) for it in json.loads(fields["reports"])]
    return after, found


def announce(client: redis.Redis, kind: str, **fields: Any) -> None:
    """Tell people who watch what the coordinator did."""
    client.xadd(
        keys.EVENTS,
        {"event": json.dumps({"kind": kind, "at": time.time(), **fields})},
        maxlen=_EVENTS_KEPT,
        approximate=True,
    )


def watch(client: redis.Redis, after: str) -> tuple[str, list[dict[str, Any]]]:
    """Return (last id, the coordinator's events after ``after``), without waiting."""
    found = []
    answer: Any = client.xrange(keys.EVENTS, min=f"({after}" if after != "0" else "-")
    for entry, fields in answer:
        after = entry
        found.append(json.loads(fields["event"]))
    return after, found


def _entries(answer: Any) -> list[Any]:
    """Return one stream's entries; RESP 3 answers a mapping, RESP 2 a list."""
    if not answer:
        return []
    if isinstance(answer, dict):
        return list(next(iter(answer.values()))[0])
    return list(answer[0][1])
