"""Who has made the copies of pools' lanes: edits and deletes go to that sender.

Copies of a lane rise, so that a sorted set has an entry only where the poster changes:
``copy:session``, or ``copy:session-`` where that copy itself may be nobody's of the lane.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from afx.cluster import keys
from afx.cluster.pool_parts import PoolLane

_MADE = re.compile(r"[0-9]{1,10}:([0-9]{1,19})", re.ASCII)
_POSTER = re.compile(r"[0-9]{1,10}:([0-9]{1,19})-?", re.ASCII)
_MOST_ENTRIES = 100


class Posters:
    """Reads them over a host's own client; all raise redis.RedisError."""

    def __init__(self, client: Any) -> None:
        self._redis = client

    async def copy_by(self, lane: PoolLane, sender: int) -> int:
        """Return the newest copy that a sender is known to have made; 0 for none."""
        for text in await self._redis.zrevrange(keys.posters(*lane), 0, _MOST_ENTRIES - 1):
            match = _MADE.fullmatch(str(text))
            if match and match[1] == str(sender):
                return int(str(text).partition(":")[0])
        return 0

    async def of(self, lane: PoolLane, copies: Sequence[int]) -> list[int]:
        """Return who has made each copy; 0 where that is not known."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for copy in copies:
                pipe.zrevrangebyscore(keys.posters(*lane), copy, 0, start=0, num=1)
            answers = await pipe.execute(raise_on_error=False)
        matches = [
            _POSTER.fullmatch(it[0]) if isinstance(it, list) and it else None for it in answers
        ]
        return [int(it[1]) if it else 0 for it in matches]
