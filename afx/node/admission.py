"""Decides, before a message enters its lanes, which of its deliveries are to be made.

Left out are those that were made before, and those that would go round a loop.

A session that starts replays from its cursor, and so meets messages whose copies are
linked already: because one destination has held the cursor back, or because the cursor
is an old copy. A known link settles a delivery without a send. Telegram's memory of
random ids is the other guard, for copies that were made and not linked.

Each source chat has a queue, so that its order is kept while Redis is asked; a message
that is newer than all links of its routes needs no question and no queue.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

import structlog

from afx.cluster import keys
from afx.cluster.links import CopyRoute, block_key, layout, parse_block
from afx.empty import NONE, NOTHING
from afx.forwarding.pipeline import Delivery, Incoming, deliveries
from afx.forwarding.rules import Route, loops
from afx.node.copy_judge import CopyJudge, OriginSource, Passed
from afx.node.outbox_reader import RULE_GONE
from afx.owned_tasks import OwnedTasks
from afx.reasons import TroubleReason
from afx.telegram.boxes import Ticket
from afx.telegram.errors import logged
from afx.telegram.facts import TelegramFacts
from afx.telegram.sender import Outcome

_AT_ONCE = 256
"""Messages for which Redis is asked in one round trip."""
_RETRY_SECONDS = 1.0

_INCOMPLETE_SECONDS = 0.5

log = structlog.get_logger()


Made = Mapping[tuple[CopyRoute, int], int]
"""(route, source message) → its copy."""


class LinkSource(OriginSource, Protocol):
    """Where links are read; waits while it does not answer."""

    async def heads(self, rules: Iterable[int]) -> dict[CopyRoute, int]:
        """Return the highest source id that was ever linked, by route, of some rules."""

    async def intents_of(self, session: int, chats: Sequence[int]) -> dict[int, str]:
        """Return the batches that a session has open to guarded channels, by channel."""


class AdmissionOwner(Protocol):
    """The forwarder that messages are admitted to."""

    def deliver(self, message: Incoming, routes: Sequence[Route], ticket: Ticket) -> None:
        """Put a message's deliveries into their lanes."""

    def known(self, route: Route, copy: int, ticket: Ticket) -> None:
        """Settle a delivery whose copy is linked already."""

    def left_out(self, ticket: Ticket) -> None:
        """Settle a delivery that is not to be made."""

    def settled(self, delivery: Delivery, ticket: Ticket, outcome: Outcome) -> None:
        """Take what became of a delivery."""

    async def judge(self, message: Incoming, routes: Sequence[Route]) -> Sequence[Route]:
        """Return the routes whose filters take a message, once they can be asked."""

    def made(self, wanted: Collection[tuple[CopyRoute, int]]) -> Made:
        """Return those of some copies that were made lately, by route and source message."""

    def trouble(self, reason: TroubleReason, text: str) -> None:
        """Report what hinders the session."""


class _Waiting(NamedTuple):
    message: Incoming
    routes: Sequence[Route]
    ticket: Ticket
    is_judged: bool = True
    """The filters have been asked."""


class _Behind(NamedTuple):
    """What is to happen after the messages before it."""

    work: Callable[[], None]


class Admission:
    """The messages of one session that wait to be judged."""

    __slots__ = (
        "_blocks",
        "_gone",
        "_guarded",
        "_heads",
        "_judge_of_copies",
        "_links",
        "_looping",
        "_newest",
        "_owner",
        "_queues",
        "_rules",
        "_session",
        "_tasks",
    )

    def __init__(self, links: LinkSource, session: int, owner: AdmissionOwner) -> None:
        self._links = links
        self._session = session
        self._judge_of_copies: CopyJudge | None = None
        """It is made when a message may be a copy."""
        self._looping: frozenset[int] = NONE
        """Sources that this session itself posts to."""
        self._guarded: frozenset[int] = NONE
        self._owner = owner
        self._rules: tuple[int, ...] = ()
        self._gone: frozenset[int] = NONE
        """Rules that are gone: messages of them may still wait here."""
        self._heads: Mapping[CopyRoute, int] | None = None
        """The highest source id that earlier runs have linked; None until it is read."""
        self._newest: Mapping[int, int] = NOTHING
        """The same by source chat, over all of its routes."""
        self._blocks: dict[CopyRoute, tuple[str, dict[int, int]]] | None = None
        """The last block that was read of each route."""
        self._queues: dict[int, deque[_Waiting | _Behind]] = {}
        self._tasks = OwnedTasks()

    def set_routes(self, routes: Mapping[int, tuple[Route, ...]]) -> None:
        """Judge messages of these source chats from now on."""
        self._rules = tuple({it.rule for them in routes.values() for it in them})
        self._looping = frozenset(loops(routes)) or NONE
        self._heads = None
        self._newest = NOTHING
        # Before the first message, which would wait for it while Redis does not answer.
        self._tasks.begin(self._prefetch_heads())

    def leave_out(self, before: Collection[int], rules: Collection[int]) -> None:
        """Make nothing more of those rules that there were ``before`` and are not any more."""
        self._gone = self._gone.union(before).difference(rules) or NONE

    def note_guarded(self, chats: frozenset[int]) -> None:
        """Judge messages of these channels with care: other sessions post there."""
        self._guarded = chats

    def offer(
        self, message: Incoming, routes: Sequence[Route], ticket: Ticket, *, is_judged: bool = True
    ) -> None:
        """Take a message of a source chat; its deliveries follow at once, or in order later.

        Not ``is_judged``: its filters have not been asked.
        """
        item = _Waiting(message, routes, ticket, is_judged)
        queue = self._queues.get(message.chat)
        if queue is not None:
            queue.append(item)
        elif (
            is_judged
            and self._is_original(message)
            and message.id > self._newest.get(message.chat, 0)
        ):
            self._owner.deliver(message, routes, ticket)
        else:
            self._queues[message.chat] = deque([item])
            self._tasks.begin(self._run(message.chat))

    def behind(self, chat: int, work: Callable[[], None]) -> None:
        """Do something after all messages of a chat that are here already."""
        queue = self._queues.get(chat)
        if queue is None:
            work()
        else:
            queue.append(_Behind(work))

    async def stop(self) -> None:
        """End all questions; what waits is replayed by the next owner."""
        await self._tasks.end()

    def _is_original(self, message: Incoming) -> bool:
        """Return whether a message needs no question whether it is a copy."""
        return (
            self._heads is not None
            and message.chat not in self._guarded
            and message.chat not in self._looping
        )

    async def _run(self, chat: int) -> None:
        queue = self._queues[chat]
        while queue:
            try:
                first = queue[0]
                if isinstance(first, _Behind):
                    queue.popleft()
                    first.work()
                elif first.is_judged:
                    await self._judge(queue)
                else:
                    await self._ask_filters(first, queue)
            except Exception as error:
                log.error("admission_failed", error=logged(error))
                self._owner.trouble(
                    TroubleReason.INTERNAL_ERROR,
                    f"the links of {chat} cannot be judged: {type(error).__name__}",
                )
                await asyncio.sleep(_RETRY_SECONDS)
        del self._queues[chat]

    async def _prefetch_heads(self) -> None:
        try:
            await self._read_heads()
        except Exception as error:
            # The first message asks again.
            log.error("admission_failed", error=logged(error))
            self._owner.trouble(
                TroubleReason.INTERNAL_ERROR, f"links cannot be judged: {type(error).__name__}"
            )

    async def _read_heads(self) -> None:
        """Read how far earlier runs have linked, unless the rules have changed meanwhile."""
        rules = self._rules
        heads = await self._links.heads(rules)
        if rules is not self._rules or self._heads is not None:
            return
        newest: dict[int, int] = {}
        for linked, head in heads.items():
            newest[linked.source] = max(head, newest.get(linked.source, 0))
        self._heads, self._newest = heads or NOTHING, newest or NOTHING

    async def _ask_filters(self, first: _Waiting, queue: deque[_Waiting | _Behind]) -> None:
        """Let the filters judge the first message of a queue."""
        routes = await self._owner.judge(first.message, first.routes)
        queue[0] = first._replace(routes=routes, is_judged=True)
        for _ in range(len(first.routes) - len(routes)):
            self._owner.left_out(first.ticket)

    async def _judge(self, queue: deque[_Waiting | _Behind]) -> None:
        """Judge the first messages of a queue, and take them out."""
        while self._heads is None:
            await self._read_heads()
        batch = list(_judged(islice(queue, _AT_ONCE)))
        blocks = await self._read(batch)
        copies = await self._copies(batch)
        for item in batch:
            queue.popleft()
            left: list[Route] = []
            passed = copies.get(item.message.id)
            for route in item.routes:
                if passed and (passed.is_own or route.destination in passed.chats):
                    self._owner.left_out(item.ticket)
                    continue
                key = _key(item, route)
                offset = item.message.id % layout(key.source).size
                copy = blocks.get(block_key(key, item.message.id), {}).get(offset)
                if copy:
                    self._owner.known(route, copy, item.ticket)
                elif route.rule in self._gone:
                    [delivery] = deliveries(item.message, [route], TelegramFacts)
                    self._owner.settled(delivery, item.ticket, RULE_GONE)
                else:
                    left.append(route)
            if left:
                self._owner.deliver(item.message, left, item.ticket)

    async def linked(
        self, items: Sequence[tuple[CopyRoute, int]], *, complete: bool = False
    ) -> list[int]:
        """Return the copies that were made of messages by routes; 0 for none.

        Those that this run has not made lately are read anew: what waits in an outbox may have
        been copied since it began, by a message that was retried twice, and Telegram forgets
        random ids. With ``complete`` it waits for a Redis that has lost its links to get them
        back.
        """
        names = [block_key(*it) for it in items]
        while True:
            # Before the question: a commit in between moves links from here to there.
            made = self._owner.made(set(items))
            missing = {it: name for it, name in zip(items, names, strict=True) if it not in made}
            if not missing:
                return [made[it] for it in items]
            distinct = list(dict.fromkeys(missing.values()))
            flag, *blocks = await self._links.blocks([keys.LINKS_COMPLETE, *distinct])
            stored = dict(zip(distinct, blocks, strict=True))
            parsed = {
                name: parse_block(key.source, stored[name]) for (key, _), name in missing.items()
            }
            found = [
                made.get(it) or parsed[name].get(it[1] % layout(it[0].source).size, 0)
                for it, name in zip(items, names, strict=True)
            ]
            if flag or not complete or all(found):
                return found
            await asyncio.sleep(_INCOMPLETE_SECONDS)

    async def _copies(self, batch: Sequence[_Waiting]) -> dict[int, Passed]:
        return await self.copies(batch[0].message.chat, [it.message.id for it in batch])

    async def copies(self, chat: int, messages: Sequence[int]) -> dict[int, Passed]:
        """Return which of a chat's messages are copies."""
        guarded = chat in self._guarded
        if not guarded and chat not in self._looping:
            return {}
        return await self.judge_of_copies.copies(chat, messages, self._rules, guarded=guarded)

    @property
    def judge_of_copies(self) -> CopyJudge:
        """Who tells which messages are copies."""
        if self._judge_of_copies is None:
            self._judge_of_copies = CopyJudge(self._links, self._session)
        return self._judge_of_copies

    async def _read(self, batch: Sequence[_Waiting]) -> dict[str, dict[int, int]]:
        """Return the blocks in which links of these messages may be, by their keys."""
        assert self._heads is not None
        if self._blocks is None:
            self._blocks = {}
        wanted: dict[str, CopyRoute] = {}
        for item in batch:
            for route in item.routes:
                key = _key(item, route)
                if item.message.id <= self._heads.get(key, 0):
                    wanted[block_key(key, item.message.id)] = key
        found = {
            name: self._blocks[key][1]
            for name, key in wanted.items()
            if key in self._blocks and self._blocks[key][0] == name
        }
        missing = [it for it in wanted if it not in found]
        for name, data in zip(missing, await self._links.blocks(missing), strict=True):
            key = wanted[name]
            found[name] = parse_block(key.source, data)
            self._blocks[key] = (name, found[name])
        return found


def _judged(items: Iterable[_Waiting | _Behind]) -> Iterator[_Waiting]:
    for it in items:
        if isinstance(it, _Behind) or not it.is_judged:
            return
        yield it


def _key(item: _Waiting, route: Route) -> CopyRoute:
    return CopyRoute(route.rule, item.message.chat, route.destination)
