"""Connections to Redis, and the translation of its errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from afx.errors import AfxError, UnreachableError

_DECODE_ERRORS = "replace"
"""What is not UTF-8 is malformed, as other text may be; it is no reason to end a reader."""


def connect(url: str, *, timeout_seconds: float = 5.0, decode: bool = True) -> redis.Redis:
    """Return a blocking client that never retries.

    A retried heartbeat would carry an old send time, so retries belong to the caller.
    Raises UnreachableError when the URL is invalid.
    """
    try:
        return redis.Redis.from_url(
            url,
            decode_responses=decode,
            encoding_errors=_DECODE_ERRORS,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError as error:
        raise UnreachableError(f"The Redis URL {shown(url)!r} is wrong: {error}.") from error


def shown(url: str) -> str:
    """Return a Redis URL without its password, for people and logs."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return url.replace(f":{parts.password}@", ":…@", 1)


def connect_async(
    url: str, *, timeout_seconds: float = 5.0, connections: int = 2
) -> redis.asyncio.Redis:
    """Return an asyncio client for a host's loop; it uses so many connections at most.

    One would let a large commit delay the reports; more would cost Redis a connection on
    each of thousands of nodes.
    """
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=timeout_seconds,
        decode_responses=True,
        encoding_errors=_DECODE_ERRORS,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
    )
    return redis.asyncio.Redis.from_pool(pool)


@contextmanager
def reachable(url: str) -> Iterator[None]:
    """Translate Redis's errors in the block into AfxErrors."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise UnreachableError(
            f"Redis at {shown(url)} does not answer ({error}); start it, or correct AFX_REDIS_URL."
        ) from error
    except redis.RedisError as error:
        raise AfxError(f"Redis at {shown(url)} refused a command: {error}.") from error
