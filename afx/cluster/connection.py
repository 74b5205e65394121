"""Connections to Redis, and the translation of its errors.

A connection on which the server says that it is not the primary is closed once the
command has ended: the next command connects again, and so follows a failover.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from afx.cluster.redis_faults import is_not_primary
from afx.errors import AfxError, UnreachableError
from afx.urls import without_password


@cache
def _following(connection_class: type) -> type:
    """Return a connection class that leaves a server which is not the primary."""

    class FollowingConnection(connection_class):  # type: ignore[misc]
        """Is closed when it is released, after an answer such as READONLY."""

        def read_response(self, *args: Any, **options: Any) -> Any:
            try:
                return super().read_response(*args, **options)
            except redis.ResponseError as error:
                if is_not_primary(error):
                    self.mark_for_reconnect()
                raise

    return FollowingConnection


@cache
def _following_async(connection_class: type) -> type:
    """Return an asyncio connection class that leaves a server which is not the primary."""

    class FollowingConnection(connection_class):  # type: ignore[misc]
        """Is closed when it is released, after an answer such as READONLY."""

        async def read_response(self, *args: Any, **options: Any) -> Any:
            try:
                return await super().read_response(*args, **options)
            except redis.ResponseError as error:
                if is_not_primary(error):
                    self.mark_for_reconnect()
                raise

    return FollowingConnection


class _Pool(redis.ConnectionPool):
    def __init__(self, connection_class: type = redis.Connection, **options: Any) -> None:
        super().__init__(connection_class=_following(connection_class), **options)


class _AsyncPool(redis.asyncio.BlockingConnectionPool):
    def __init__(self, connection_class: type = redis.asyncio.Connection, **options: Any) -> None:
        super().__init__(connection_class=_following_async(connection_class), **options)


_DECODE_ERRORS = "replace"
"""What is not UTF-8 is malformed, as other text may be; it is no reason to end a reader."""


def connect(url: str, *, timeout_seconds: float = 5.0, decode: bool = True) -> redis.Redis:
    """Return a blocking client that never retries.

    A retried heartbeat would carry an old send time, so retries belong to the caller.
    Raises UnreachableError when the URL is invalid.
    """
    try:
        pool = _Pool.from_url(
            url,
            decode_responses=decode,
            encoding_errors=_DECODE_ERRORS,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError as error:
        raise UnreachableError(
            "The Redis URL is not redis://, rediss:// or unix:// with a valid host and port; "
            "correct AFX_REDIS_URL."
        ) from error
    return redis.Redis.from_pool(pool)


def shown(url: str) -> str:
    """Return a Redis URL without its password, for people and logs."""
    return without_password(url)


def connect_async(
    url: str, *, timeout_seconds: float = 5.0, connections: int = 2
) -> redis.asyncio.Redis:
    """Return an asyncio client for a host's loop; it uses so many connections at most.

    One would let a large commit delay the reports; more would cost Redis a connection on
    each of thousands of nodes.
    """
    pool = _AsyncPool.from_url(
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
