"""Reads from Redis what sessions need to start: spec, cursors, access hashes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis
import structlog

from afx.cluster import keys, specs

_RETRY_SECONDS, _RETRY_MAX = 0.2, 2.0

log = structlog.get_logger()


@dataclass(slots=True, frozen=True)
class Loaded:
    """What one session needs."""

    spec: specs.SessionSpec | None
    """None when Redis has none."""
    error: str = ""
    """Why the spec could not be read."""
    cursors: dict[str, str] | None = None
    hashes: dict[str, str] | None = None


async def load(client: Any, session_ids: Sequence[int]) -> list[Loaded]:
    """Return what some sessions need, in one round trip; waits for Redis.

    A key that holds anything else than it should fails its own session only.
    """
    pause = _RETRY_SECONDS
    while True:
        try:
            answers = await _read(client, session_ids)
            break
        except (redis.RedisError, UnicodeDecodeError) as error:
            if _is_about_a_key(error):
                if len(session_ids) == 1:
                    return [Loaded(None, f"{type(error).__name__}: {error}")]
                return [it for each in session_ids for it in await load(client, [each])]
            log.warning("sessions_not_loaded", count=len(session_ids), reason=str(error))
            await asyncio.sleep(pause)
            pause = min(_RETRY_MAX, pause * 2)
    return [_parse(*answers[3 * index : 3 * index + 3]) for index in range(len(session_ids))]


def _is_about_a_key(error: Exception) -> bool:
    """Return whether a value is malformed, rather than Redis unavailable.

    A key of another type is a plain ResponseError; what passes has a class of its own.
    """
    return isinstance(error, UnicodeDecodeError) or type(error) is redis.ResponseError


async def _read(client: Any, session_ids: Sequence[int]) -> list[Any]:
    # In one transaction: a Redis that loses its data loses all of it or nothing.
    pipe = client.pipeline(transaction=True)
    for session_id in session_ids:
        pipe.get(keys.spec(session_id))
        pipe.hgetall(keys.cursor(session_id))
        pipe.hgetall(keys.entities(session_id))
    return list(await pipe.execute())


def _parse(text: str | None, cursors: dict[str, str], hashes: dict[str, str]) -> Loaded:
    if text is None:
        return Loaded(None)
    try:
        return Loaded(specs.parse(text), "", cursors, hashes)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return Loaded(None, f"{type(error).__name__}: {error}")
