"""Which send has which post of a destination, of those that were found there or named.

A post is the copy of one message only. Two lanes, such as those of two rules with one lost sender,
may look for the same content in one destination at the same time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from afx.cluster import keys
from afx.cluster.scripts import source

SECONDS = 86_400
"""How long a claim lasts; soon after it the post is linked."""
_COPY = re.compile(r"[0-9]{1,10}", re.ASCII)
_RANDOM_ID = re.compile(r"-?[0-9]{1,19}", re.ASCII)


class PostClaims:
    """The claims on posts, over a host's own client; all raise redis.RedisError."""

    def __init__(self, client: Any) -> None:
        self._redis = client
        self._script = client.register_script(source("post_claim"))

    async def of(self, destination: int) -> dict[int, int]:
        """Return the claimed posts of a destination, with the random_id of the send of each."""
        fields = await self._redis.hgetall(keys.post_claims(destination))
        return {
            int(copy): int(random_id)
            for copy, random_id in fields.items()
            if _COPY.fullmatch(copy) and _RANDOM_ID.fullmatch(random_id)
        }

    async def claim(self, destination: int, posts: Mapping[int, int]) -> bool:
        """Claim posts for sends, by random_id; False when another send has one: none is claimed."""
        args = [it for pair in posts.items() for it in pair]
        done = await self._script(keys=[keys.post_claims(destination)], args=[SECONDS, *args])
        return bool(done == 1)
