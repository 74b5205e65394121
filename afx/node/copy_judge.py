"""Tells copies from originals by the links' way back, over all sessions of the cluster.

A message is known by its chat *and* its id. A copy may be forwarded on, but never to a
chat that it came through: so a → b and b → a, or a → b → c → a, each make one copy of a
message, whichever sessions the rules belong to. What a session has copied itself it
never forwards on.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import structlog

from afx.cluster.links import (
    Origin,
    copies_key,
    is_channel,
    layout,
    parse_way_back,
    way_back_key,
)

_LONGEST_CHAIN = 16
_POLL_SECONDS = 0.05
_MOST_WAIT_SECONDS = 120.0
"""How long a batch may stay open: a takeover, and the replay after it."""

log = structlog.get_logger()


class OriginSource(Protocol):
    """Where the way back of links is read; waits while it does not answer."""

    async def blocks(self, names: Sequence[str]) -> list[bytes | None]:
        """Return the blocks under some keys; None for none."""

    async def origins(self, name: str) -> dict[int, tuple[int, int]]:
        """Return a destination's origins: number → (rule, source)."""

    async def intents(self, chat: int) -> dict[str, str]:
        """Return the open batches to a guarded channel, by session."""


class Passed(NamedTuple):
    """What is known of a copy."""

    is_own: bool
    """A rule of this session has made it."""
    chats: frozenset[int]
    """The chats that it came through."""


class CopyJudge:
    """Judges the messages of one session's sources."""

    __slots__ = ("_links", "_numbers", "_session", "_vain")

    def __init__(self, links: OriginSource, session: int) -> None:
        self._links = links
        self._session = session
        self._numbers: dict[int, dict[int, tuple[int, int]]] = {}
        """chat → its origins, as far as they were read."""
        self._vain: set[tuple[str, str]] = set()
        """(session, batch) for which was waited in vain."""

    async def copies(
        self, chat: int, messages: Sequence[int], rules: Collection[int], *, guarded: bool
    ) -> dict[int, Passed]:
        """Return which messages of a chat are copies; ``rules`` are the session's own.

        In a guarded chat it waits first until the batches that may have made them are
        linked, since a copy may arrive before its link is stored.
        """
        # In this order: a batch ends only when its links are stored.
        is_open = await self._links.intents(chat) if guarded else {}
        found = await self.origins_of(chat, messages)
        unknown = [it for it in messages if it not in found]
        if unknown and is_open:
            await self._wait(chat, is_open)
            found |= await self.origins_of(chat, unknown)
        return await self._follow(found, rules)

    async def _wait(self, chat: int, is_open: dict[str, str]) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + _MOST_WAIT_SECONDS
        left = {it for it in is_open.items() if it not in self._vain}
        while left:
            await asyncio.sleep(_POLL_SECONDS)
            left &= set((await self._links.intents(chat)).items())
            if left and loop.time() >= until:
                log.warning("batches_stay_open", chat=chat, batches=sorted(left))
                self._vain |= left
                return

    async def _follow(
        self, found: Mapping[int, Origin], rules: Collection[int]
    ) -> dict[int, Passed]:
        """Follow copies of copies back to where they came from."""
        chats: dict[int, set[int]] = {it: {origin.source} for it, origin in found.items()}
        ends = {
            it: origin
            for it, origin in found.items()
            if origin.rule not in rules and is_channel(origin.source)
        }
        for _ in range(_LONGEST_CHAIN):
            by_chat: dict[int, set[int]] = defaultdict(set)
            for origin in ends.values():
                by_chat[origin.source].add(origin.message)
            if not by_chat:
                break
            before = {
                chat: await self.origins_of(chat, sorted(ids)) for chat, ids in by_chat.items()
            }
            earlier: dict[int, Origin] = {}
            for it, origin in ends.items():
                step = before[origin.source].get(origin.message)
                if step is None or step.source in chats[it]:
                    continue
                chats[it].add(step.source)
                if is_channel(step.source):
                    earlier[it] = step
            ends = earlier
        return {
            it: Passed(origin.rule in rules, frozenset(chats[it])) for it, origin in found.items()
        }

    async def origins_of(self, chat: int, messages: Iterable[int]) -> dict[int, Origin]:
        """Return the origins of those messages of a chat that are copies."""
        by_block: dict[str, list[int]] = defaultdict(list)
        for it in messages:
            by_block[way_back_key(self._session, chat, it)].append(it)
        found: dict[int, tuple[int, int]] = {}
        blocks = await self._links.blocks(list(by_block))
        for ids, data in zip(by_block.values(), blocks, strict=True):
            if data:
                block, size = parse_way_back(chat, data), layout(chat).size
                found |= {it: block[it % size] for it in ids if it % size in block}
        if not found:
            return {}
        numbers = self._numbers.get(chat, {})
        if any(number not in numbers for number, _ in found.values()):
            numbers = await self._links.origins(copies_key(self._session, chat))
            self._numbers[chat] = numbers
        # A number without an origin still shows that it is a copy, of rule 0.
        return {
            it: Origin(*numbers.get(number, (0, 0)), message)
            for it, (number, message) in found.items()
        }
