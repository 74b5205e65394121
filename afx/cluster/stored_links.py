"""The leader's access to links in Redis: what changed, what comes back, what goes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import redis

from afx.cluster import keys
from afx.cluster.links import (
    CopyLink,
    CopyRoute,
    layout,
    parse_block,
    parse_head,
    parse_route,
    writes,
)
from afx.cluster.scripts import FencedScript

_MEMBER = re.compile(r"([0-9]{1,10}):(-?[0-9]{1,19}):(-?[0-9]{1,19}):([0-9]{1,10})", re.ASCII)
_MOST_DELETED = 20_000
"""Blocks at each end of a route that are deleted with its rule: 10 million messages."""
_NAMES_AT_ONCE = 500

BlockName = tuple[CopyRoute, int]
"""A route, and the number of one of its blocks."""


class StoredLinks:
    """The links of all rules."""

    def __init__(self, client: redis.Redis, raw_client: redis.Redis) -> None:
        """``raw_client`` does not decode answers: blocks are no text."""
        self._redis: Any = raw_client
        self._copied = FencedScript(client, "copied_links")
        self._restore = FencedScript(client, "restore_links")

    def changed(self, most: int) -> list[tuple[BlockName, bytes]]:
        """Return some of the blocks that SQL has no copy of; malformed names are removed."""
        members: list[bytes] = self._redis.srandmember(keys.LINKS_CHANGED, most)
        names = {it: name for it in members if (name := _parse(it.decode(errors="replace")))}
        if malformed := [it for it in members if it not in names]:
            self._redis.srem(keys.LINKS_CHANGED, *malformed)
        if not names:
            return []
        found = self._redis.mget([_key(it) for it in names.values()])
        gone = [it for it, data in zip(names, found, strict=True) if data is None]
        if gone:
            self._redis.srem(keys.LINKS_CHANGED, *gone)
        return [(it, data) for it, data in zip(names.values(), found, strict=True) if data]

    def note_copied(self, term: int, blocks: Iterable[tuple[BlockName, bytes]]) -> None:
        """Note that SQL has these; raises FencedError when a newer term has begun."""
        arguments: list[str | int] = []
        for name, data in blocks:
            route, number = name
            arguments += [":".join(map(str, (*route, number))), _key(name), len(data)]
        self._copied(term, keys=[keys.LINKS_CHANGED], args=arguments)

    def restore(
        self, term: int, seconds: int, blocks: Sequence[tuple[int, BlockName, bytes]]
    ) -> None:
        """Put back (session, block, content); what Redis has is newer, and stays.

        ``seconds`` is how long links are stored. Raises FencedError.
        """
        for session, (route, number), data in blocks:
            first = number * layout(route.source).size
            links = [
                CopyLink(route, first + offset, copy)
                for offset, copy in parse_block(route.source, data).items()
            ]
            arguments: Any = chain.from_iterable(writes(session, links))
            self._restore(term, args=[seconds, *arguments])

    def rules(self, most: int) -> list[int]:
        """Return some of the rules that have links."""
        members = self._redis.srandmember(keys.LINKED_RULES, most)
        return [int(it) for it in members if it.isdigit() and len(it) <= 10]

    def delete(self, rule: int) -> None:
        """Delete a rule's links; their way back expires."""
        try:
            routes = self._redis.hgetall(keys.links(rule))
        except redis.ResponseError:
            routes = {}  # another type of key: there is nothing to be found by it
        for field, text in routes.items():
            route = parse_route(rule, field.decode(errors="replace"))
            head = parse_head(text.decode(errors="replace"))
            if route is None or head is None:
                continue
            blocks = range(head[0], head[1] // layout(route.source).size + 1)
            if len(blocks) > 2 * _MOST_DELETED:
                # No chat has so many messages; a block that is left expires.
                chosen = [*blocks[:_MOST_DELETED], *blocks[-_MOST_DELETED:]]
            else:
                chosen = list(blocks)
            for start in range(0, len(chosen), _NAMES_AT_ONCE):
                numbers = chosen[start : start + _NAMES_AT_ONCE]
                self._redis.unlink(*(_key((route, it)) for it in numbers))
        self._redis.delete(keys.links(rule))
        self._redis.srem(keys.LINKED_RULES, rule)


def _key(name: BlockName) -> str:
    route, number = name
    return keys.link_block(*route, number)


def _parse(member: str) -> BlockName | None:
    match = _MEMBER.fullmatch(member)
    if match is None:
        return None
    rule, source, destination, number = map(int, match.groups())
    if max(abs(source), abs(destination)) >= 2**63:
        return None  # SQL has no such number
    return CopyRoute(rule, source, destination), number
