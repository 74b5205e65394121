"""The coordinators that stand by, for people: each says so again while it does.

Redis's clock orders them, so that a reader compares no clocks; one that has died is removed
by the next one that says it, or expires with the last.
"""

from __future__ import annotations

from contextlib import suppress

import redis

from afx.cluster import keys
from afx.errors import printable

KEPT_SECONDS = 10
"""For how long one that says nothing more is kept."""
_MOST = 100
_LONGEST = 300


def note(client: redis.Redis, name: str) -> None:
    """Say that a coordinator, ``hostname:pid``, stands by.

    What Redis refuses is left out: nothing depends on it. Raises RedisError when it is away.
    """
    try:
        _note(client, name)
    except redis.ResponseError as error:
        if "WRONGTYPE" in str(error):  # it is not ours
            with suppress(redis.ResponseError):
                client.delete(keys.STANDBYS)


def _note(client: redis.Redis, name: str) -> None:
    now = int(client.time()[0])
    pipe = client.pipeline(transaction=True)
    pipe.zremrangebyscore(keys.STANDBYS, "-inf", now - KEPT_SECONDS)
    pipe.zremrangebyscore(keys.STANDBYS, now + KEPT_SECONDS, "+inf")
    pipe.zadd(keys.STANDBYS, {name: now})
    pipe.zremrangebyrank(keys.STANDBYS, 0, -_MOST - 1)
    pipe.expire(keys.STANDBYS, KEPT_SECONDS)
    pipe.execute()


def leave(client: redis.Redis, name: str) -> None:
    """Say that a coordinator stands by no more; raises RedisError when Redis is away."""
    with suppress(redis.ResponseError):
        client.zrem(keys.STANDBYS, name)


def read(client: redis.Redis) -> tuple[str, ...]:
    """Return the coordinators that stand by, by name; none for what cannot be read."""
    try:
        found = client.zrange(keys.STANDBYS, 0, _MOST - 1)
    except redis.ResponseError:
        return ()
    return tuple(sorted(printable(str(it), longest=_LONGEST) for it in found))
