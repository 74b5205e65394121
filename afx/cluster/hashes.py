"""Reads many hashes at once, of which some may be malformed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import redis

from afx.cluster.redis_faults import RedisFault, fault_of

N = TypeVar("N")


def read_hashes(client: redis.Redis, wanted: Mapping[N, str]) -> dict[N, dict[str, str]]:
    """Return the hash of each key, by the name given for the key; {} for no hash.

    Bytes that are not UTF-8 are replaced. Raises redis.RedisError for every error but that
    of a key with a value of another type.
    """
    pipe = client.pipeline(transaction=False)
    for key in wanted.values():
        pipe.execute_command(  # type: ignore[no-untyped-call]
            "HGETALL", key, NEVER_DECODE=[]
        )
    answers: list[Any] = pipe.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, Exception) and fault_of(answer) is not RedisFault.WRONG_TYPE:
            raise answer
    return {
        name: {} if isinstance(answer, Exception) else _decoded(answer)
        for name, answer in zip(wanted, answers, strict=True)
    }


def _decoded(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    return {
        name.decode(errors="replace"): value.decode(errors="replace")
        for name, value in fields.items()
    }
