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


def connect(url: str, *, timeout_seconds: float = 5.0, decode: bool = True) -> redis.Redis:
    """Return a blocking client that never retries.

    A retried heartbeat would carry an old send time, so retries belong to the caller.
    Raises UnreachableError when the URL is invalid.
    """
    try:
        return redis.Redis.from_url(
            url,
            decode_responses=decode,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError as error:
        raise UnreachableError(
            "The Redis URL is not redis://, rediss:// or unix:// with a valid host and port; "
            "correct AFX_REDIS_URL."
        ) from error


def shown(url: str) -> str:
    """Return a Redis URL without its password, for people and logs."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return url.replace(f":{parts.password}@", ":…@", 1)


def connect_async(url: str, *, timeout_seconds: float = 5.0) -> redis.asyncio.Redis:
    """Return an asyncio client for a host's loop."""
    return redis.asyncio.Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
    )


@contextmanager
def reachable(url: str) -> Iterator[None]:
    """Translate Redis's errors in the block into AfxErrors."""
    try:
        yield
    except redis.InvalidResponse as error:
        raise not_redis(url) from error
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise UnreachableError(
            f"Redis at {shown(url)} does not answer ({error}); start it, or correct AFX_REDIS_URL."
        ) from error
    except redis.RedisError as error:
        raise AfxError(f"Redis at {shown(url)} refused a command: {error}.") from error


def not_redis(url: str) -> UnreachableError:
    """Return the error for a server that answers, and not as Redis does."""
    return UnreachableError(f"What answers at {shown(url)} is not Redis; correct AFX_REDIS_URL.")
