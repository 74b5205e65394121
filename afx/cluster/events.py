"""The stream of what the coordinator did, for people and programs that watch."""

from __future__ import annotations

import json
import time
from typing import Any

import redis

from afx.cluster import keys, streams
from afx.logs import logger

_EVENTS_LIMIT = 2_000
_LAST_SECOND = 2**33
"""Of the Unix times that every clock and calendar can take."""


def announce(client: redis.Redis, kind: str, **fields: Any) -> None:
    """Append an event; one that Redis refuses is logged, for nothing depends on it."""
    try:
        client.xadd(
            keys.EVENTS,
            {"event": json.dumps({"kind": kind, "at": time.time(), **fields})},
            maxlen=_EVENTS_LIMIT,
            approximate=True,
        )
    except redis.ResponseError as error:
        logger().warning("event_not_announced", kind=kind, reason=str(error))


def newest(client: redis.Redis) -> str:
    """Return the id of the last entry; "0" when there is none."""
    try:
        answer: Any = client.xrevrange(keys.EVENTS, count=1)
    except redis.ResponseError:
        return "0"  # another type of key: the next leader removes it
    return str(answer[0][0]) if answer else "0"


def is_before(entry: str, other: str) -> bool:
    """Return whether an entry of the stream has a lower id than another one."""
    return _numbers(entry) < _numbers(other)


def _numbers(entry: str) -> tuple[int, int]:
    milliseconds, _, sequence = entry.partition("-")
    return int(milliseconds), int(sequence or "0")


def watch(
    client: redis.Redis, after: str, *, wait_seconds: float = 0.0
) -> tuple[str, list[dict[str, Any]]]:
    """Return (last id, the events after ``after``); waits up to so long for the first of them.

    An entry that is not an event is passed over.
    """
    found = []
    milliseconds = max(1, round(wait_seconds * 1000)) if wait_seconds else None
    try:
        answer = client.xread({keys.EVENTS: after}, block=milliseconds)
    except redis.ResponseError:
        return after, []  # another type of key: the next leader removes it
    for entry, fields in streams.entries(answer):
        after = entry
        if (event := _parsed(fields)) is not None:
            found.append(event)
    return after, found


def recent(client: redis.Redis, count: int) -> list[dict[str, Any]]:
    """Return the last events, the newest first; an entry that is not an event is passed over."""
    try:
        answer: Any = client.xrevrange(keys.EVENTS, count=count)
    except redis.ResponseError:
        return []  # another type of key
    return [it for _, fields in answer if (it := _parsed(fields)) is not None]


def _parsed(fields: Any) -> dict[str, Any] | None:
    try:
        event = json.loads(fields.get("event", ""))
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and _is_event(event) else None


def _is_event(event: dict[str, Any]) -> bool:
    kind, at = event.get("kind"), event.get("at")
    return isinstance(kind, str) and isinstance(at, int | float) and 0 <= at < _LAST_SECOND
