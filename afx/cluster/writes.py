"""What the leader sets in Redis, fenced by its term."""

from __future__ import annotations

from collections.abc import Mapping

import redis

from afx.cluster import keys
from afx.cluster.scripts import source
from afx.errors import FencedError

_MOST = 100
"""Keys in one call: Redis serves nobody else meanwhile, so a call is short."""


def write(client: redis.Redis, values: Mapping[str, str | int], term: int) -> None:
    """Set keys to values, in calls of a hundred.

    Raises FencedError when a newer leader rules: then the rest is not written.
    """
    script = client.register_script(source("write"))
    names = list(values)
    for start in range(0, len(names), _MOST):
        part = names[start : start + _MOST]
        answer = script(keys=[keys.TERM, *part], args=[term, *(values[it] for it in part)])
        if answer == "STALE":
            raise FencedError("Another coordinator leads now.")
