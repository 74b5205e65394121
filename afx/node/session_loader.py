"""Reads from Redis what sessions need to start: spec, cursors, access hashes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis

from afx.cluster import keys, specs
from afx.cluster.redis_faults import RedisFault, fault_of
from afx.node.redis_trouble import RedisTrouble

_RETRY_SECONDS, _RETRY_MAX = 0.2, 2.0


@dataclass(slots=True, frozen=True)
class Loaded:
    """What one session needs."""

    spec: specs.SessionSpec | None
    """None when Redis has none."""
    error: str = ""
    """Why the spec could not be read."""
    cursors: dict[str, str] | None = None
    hashes: dict[str, str] | None = None


async def load(client: Any, session_ids: Sequence[int], trouble: RedisTrouble) -> list[Loaded]:
    """Return what some sessions need, in one round trip; waits for Redis.

    A key that holds anything else than it should fails its own session only.
    """
    pause = _RETRY_SECONDS
    while True:
        try:
            answers = await _read(client, session_ids)
            break
        except UnicodeDecodeError as error:
            if len(session_ids) == 1:
                return [Loaded(None, f"{type(error).__name__}: {error}")]
            return [it for each in session_ids for it in await load(client, [each], trouble)]
        except redis.RedisError as error:
            trouble.failed("load", error)
            await asyncio.sleep(pause)
            pause = min(_RETRY_MAX, pause * 2)
    trouble.passed("load")
    return [_parse(answers[3 * index : 3 * index + 3]) for index in range(len(session_ids))]


async def _read(client: Any, session_ids: Sequence[int]) -> list[Any]:
    """Return three answers per session; one about a key of a wrong type is its error.

    Raises redis.RedisError for any other error.
    """
    # In one transaction: a Redis that loses its data loses all of it or nothing.
    async with client.pipeline(transaction=True) as pipe:
        for session_id in session_ids:
            pipe.get(keys.spec(session_id))
            pipe.hgetall(keys.cursor(session_id))
            pipe.hgetall(keys.entities(session_id))
        answers = list(await pipe.execute(raise_on_error=False))
    for answer in answers:
        if isinstance(answer, redis.RedisError) and fault_of(answer) is not RedisFault.WRONG_TYPE:
            raise answer
    return answers


def _parse(answers: Sequence[Any]) -> Loaded:
    for answer in answers:
        if isinstance(answer, redis.RedisError):
            return Loaded(None, str(answer))
    text, cursors, hashes = answers
    if text is None:
        return Loaded(None)
    try:
        return Loaded(specs.parse(text), "", cursors, hashes)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return Loaded(None, f"{type(error).__name__}: {error}")
