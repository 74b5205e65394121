"""Reads links back as tests compare them."""

from __future__ import annotations

from typing import Any, cast

import redis as redis_module

from afx.cluster import keys
from afx.cluster.links import (
    CopyRoute,
    layout,
    parse_block,
    parse_head,
    parse_origins,
    parse_route,
    parse_way_back,
)


def read_bytes(client: redis_module.Redis, key: str) -> bytes | None:
    """Return a string that is no text, over a client that decodes."""
    return cast("bytes | None", client.execute_command("GET", key, NEVER_DECODE=True))


def stored_links(client: redis_module.Redis, rule: int) -> dict[CopyRoute, dict[int, int]]:
    """Return a rule's links: route → source message → copy."""
    found: dict[CopyRoute, dict[int, int]] = {}
    heads: Any = client.hgetall(keys.links(rule))
    for field, text in heads.items():
        route, head = parse_route(rule, field), parse_head(text)
        assert route and head
        size = layout(route.source).size
        found[route] = {
            block * size + offset: copy
            for block in range(head[0], head[1] // size + 1)
            for offset, copy in parse_block(
                route.source, read_bytes(client, keys.link_block(*route, block))
            ).items()
        }
    return found


def way_back(
    client: redis_module.Redis, destination: int, highest: int, session: int = 1
) -> dict[int, tuple[int, int, int]]:
    """Return a destination's copies up to one: copy → (rule, source, source message)."""
    from afx.cluster.links import copies_key

    key, size = copies_key(session, destination), layout(destination).size
    stored: Any = client.hgetall(key)
    origins = parse_origins(stored)
    return {
        block * size + offset: (*origins[number], message)
        for block in range(highest // size + 1)
        for offset, (number, message) in parse_way_back(
            destination, read_bytes(client, f"{key}:{block}")
        ).items()
    }
