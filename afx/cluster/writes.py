"""Writes keys to Redis on behalf of the leader, fenced by its term."""

from __future__ import annotations

from collections.abc import Mapping

import redis

from afx.cluster.scripts import FencedScript

_KEYS_PER_CALL = 100
"""Redis serves no other client during a call, so a call is short."""


def write(client: redis.Redis, values: Mapping[str, str | int], term: int) -> None:
    """Set keys to values, some in each call.

    Raises FencedError when a newer term has begun: then the rest is not written.
    """
    script = FencedScript(client, "write")
    names = list(values)
    for start in range(0, len(names), _KEYS_PER_CALL):
        part = names[start : start + _KEYS_PER_CALL]
        script(term, keys=part, args=[values[it] for it in part])
