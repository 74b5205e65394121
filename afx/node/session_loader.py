"""Reads from Redis what sessions need to start: spec, cursors, access hashes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis
import structlog

from afx.cluster import keys
from afx.cluster.specs import RefusedSpecError, SessionSpec, open_spec
from afx.reasons import FailureReason
from afx.security.signing import SigningKeys

_RETRY_SECONDS, _RETRY_MAX = 0.2, 2.0

log = structlog.get_logger()


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
    client: Any, signing_keys: SigningKeys, items: Sequence[tuple[int, int]]
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
        except (redis.RedisError, UnicodeDecodeError) as error:
            if _is_about_a_key(error):
                if len(items) == 1:
                    return [_refused(f"{type(error).__name__}: {error}")]
                return [it for each in items for it in await load(client, signing_keys, [each])]
            log.warning("sessions_not_loaded", count=len(session_ids), reason=str(error))
            await asyncio.sleep(pause)
            pause = min(_RETRY_MAX, pause * 2)
    return [
        _opened(signing_keys, item, *answers[3 * index : 3 * index + 3])
        for index, item in enumerate(items)
    ]


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


def _opened(
    signing_keys: SigningKeys,
    item: tuple[int, int],
    stored: str | None,
    cursors: dict[str, str],
    hashes: dict[str, str],
) -> Loaded:
    if stored is None:
        return Loaded(None)
    session_id, epoch = item
    try:
        spec = open_spec(signing_keys, stored, session_id=session_id, epoch=epoch)
    except RefusedSpecError as error:
        return Loaded(None, error.reason, str(error))
    return Loaded(spec, cursors=cursors, hashes=hashes)


def _refused(text: str) -> Loaded:
    return Loaded(None, FailureReason.SPEC_INVALID, text)
