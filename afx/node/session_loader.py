"""Reads from Redis what sessions need to start: spec, cursors, access hashes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis

from afx.cluster import keys
from afx.cluster.redis_faults import RedisFault, fault_of
from afx.cluster.specs import RefusedSpecError, SessionSpec, open_spec
from afx.node.redis_trouble import RedisTrouble
from afx.reasons import FailureReason
from afx.security.signing import SigningKeys

_RETRY_SECONDS, _RETRY_MAX = 0.2, 2.0


@dataclass(slots=True, frozen=True)
class Loaded:
    """What one session needs."""

    spec: SessionSpec | None
    """None when there is none that may be used."""
    reason: FailureReason = FailureReason.SPEC_MISSING
    """Why there is none."""
    error: str = ""
    """The same, for people."""
    cursors: dict[str, str] | None = None
    hashes: dict[str, str] | None = None


async def load(
    client: Any,
    signing_keys: SigningKeys,
    items: Sequence[tuple[int, int]],
    trouble: RedisTrouble,
) -> list[Loaded]:
    """Return what some sessions need, in one round trip; waits for Redis.

    ``items`` are (session, epoch): a spec counts if it was signed for both. A key that
    contains anything else than it should fails its own session only.
    """
    session_ids = [session_id for session_id, _ in items]
    pause = _RETRY_SECONDS
    while True:
        try:
            answers = await _read(client, session_ids)
            break
        except UnicodeDecodeError as error:
            if len(items) == 1:
                return [Loaded(None, FailureReason.STATE_MALFORMED, type(error).__name__)]
            parts = [await load(client, signing_keys, [it], trouble) for it in items]
            return [it for part in parts for it in part]
        except redis.RedisError as error:
            trouble.failed("load", error)
            await asyncio.sleep(pause)
            pause = min(_RETRY_MAX, pause * 2)
    trouble.passed("load")
    return [
        _opened(signing_keys, item, answers[3 * index : 3 * index + 3])
        for index, item in enumerate(items)
    ]


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


def _opened(signing_keys: SigningKeys, item: tuple[int, int], answers: Sequence[Any]) -> Loaded:
    for answer in answers:
        if isinstance(answer, redis.RedisError):
            return Loaded(None, FailureReason.STATE_MALFORMED, str(answer))
    stored, cursors, hashes = answers
    if stored is None:
        return Loaded(None)
    session_id, epoch = item
    try:
        spec = open_spec(signing_keys, stored, session_id=session_id, epoch=epoch)
    except RefusedSpecError as error:
        return Loaded(None, error.reason, str(error))
    return Loaded(spec, cursors=cursors, hashes=hashes)
