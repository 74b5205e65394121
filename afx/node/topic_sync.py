"""Lets topics of a source's forum be topics of the destination's (``sync: [topics]``).

A topic is made at the destination when it is made at the source, or when the first message of
it is to be sent; and is renamed, closed and opened with it. What Telegram refuses is a dead
letter. A topic that was deleted at the source stays at the destination, with its messages, and
that is told: who deletes a forum's topic there is to be a person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from telethon import errors

from afx.forwarding.pipeline import Delivery
from afx.forwarding.topics import GENERAL
from afx.forwarding.whole_albums import units
from afx.node.intents import Intents
from afx.node.lane_owner import LaneOwner
from afx.node.lane_queue import Entry
from afx.node.pace import Pace
from afx.node.references import Reference
from afx.telegram.change_sender import KNOWN
from afx.telegram.errors import error_name, is_lost_login
from afx.telegram.forum_requests import change_topic, make_topic, topics_of
from afx.telegram.sender import Outcome, failed

if TYPE_CHECKING:
    from afx.telegram.client import AccountClient
    from afx.telegram.peers import Peers

_AT_ONCE = 100
_REMEMBERED = 200
_DELETED = Outcome(
    "refused",
    reason="the topic was deleted at its source; delete it at the destination, if it is to go",
)
_POOLED = Outcome("refused", reason="a rule with senders makes no topics; make it by hand")
_UNKNOWN = Outcome("refused", reason="its topic cannot be made: that of the source is gone")

Prepared = tuple[Sequence[Entry], list[Outcome]]


class _StoppedError(Exception):
    """Nothing can be made now: another node has the session."""


class TopicSync:
    """The topics of one lane's destination."""

    __slots__ = ("_client", "_intents", "_known", "_owner", "_pace", "_peers")

    def __init__(
        self,
        client: AccountClient,
        peers: Peers,
        intents: Intents,
        owner: LaneOwner,
        pace: Pace,
    ) -> None:
        self._client = client
        self._peers = peers
        self._intents = intents
        self._owner = owner
        self._pace = pace
        self._known: dict[tuple[int, int, int], int] = {}
        """(rule, source, topic) → the topic at the destination."""

    async def prepare(self, batch: Sequence[Entry]) -> Prepared:
        """Return the first of a batch that are made, or the first that are not, with outcomes.

        Nothing of both: they are to be tried again. Sends learn in which topic they are to lie.
        Raises ConnectionError, and the error of a lost login.
        """
        op = batch[0][0].op
        try:
            if op == "send":
                return await self._prepare_sends(batch)
            if op == "topic":
                run = list(takewhile(lambda it: it[0].op == "topic", batch))[:_AT_ONCE]
                return run, await self._follow([it for it, _ in run])
            return await self._prepare_changes(batch)
        except _StoppedError:
            self._pace.pause()
            return [], []

    # --- sends ----------------------------------------------------------------------------

    async def _prepare_sends(self, batch: Sequence[Entry]) -> Prepared:
        count = 0
        for unit in units(batch, lambda it: it[0]):
            first = unit[0][0]
            if _is_to_be_placed(first):
                topic, outcome = await self._place(first)
                if outcome is not None:
                    return (batch[:count], []) if count else (unit, [outcome] * len(unit))
                for it, _ in unit:
                    it.topic = topic
            count += len(unit)
        return batch, []

    async def _place(self, delivery: Delivery) -> tuple[int, Outcome | None]:
        """Return the topic of the destination that a send goes to; it is made if there is none."""
        stub = _topic(delivery, delivery.source_topic)
        [copy] = await self._find([stub], complete=False)
        if copy:
            return copy, None
        if self._owner.pools.has(delivery):
            return 0, _POOLED
        try:
            found = await topics_of(self._client, self._peer(stub.source), [stub.message])
            if stub.message not in found:
                return 0, _UNKNOWN
            return await self._make(stub, found[stub.message]), None
        except errors.RPCError as error:
            return 0, _outcome(error, "its topic cannot be made")

    # --- changes --------------------------------------------------------------------------

    async def _follow(self, them: Sequence[Delivery]) -> list[Outcome]:
        """Let topics be as those of the source are now; returns the outcomes of the first ones."""
        outcomes: list[Outcome] = []
        try:
            copies = await self._find(them)
            found = await topics_of(
                self._client, self._peer(them[0].source), [it.message for it in them]
            )
            theirs = await self._existing(
                them[0].destination,
                [copy for it, copy in zip(them, copies, strict=True) if it.message not in found],
            )
            for it, copy in zip(them, copies, strict=True):
                if it.source != them[0].source:
                    break
                outcomes.append(await self._follow_one(it, copy, found.get(it.message), theirs))
        except errors.RPCError as error:
            outcomes.append(_outcome(error, "its topic cannot be followed"))
        behind = Outcome("again", reason="a topic before it is not made yet")
        return outcomes + [behind] * (len(them) - len(outcomes))

    async def _follow_one(
        self, it: Delivery, copy: int, topic: Any, theirs: Mapping[int, Any]
    ) -> Outcome:
        if topic is None:
            return _DELETED if copy in theirs else KNOWN
        if not copy and it.message != GENERAL:
            if await self._owner.topics.is_copy(it):
                return KNOWN
            if self._owner.pools.has(it):
                return _POOLED
            await self._make(it, topic)
            return KNOWN
        await change_topic(self._client, self._peer(it.destination), copy or GENERAL, topic)
        return KNOWN

    async def _prepare_changes(self, batch: Sequence[Entry]) -> Prepared:
        """Keep deletes away from topics, of which the first message is gone at the source."""
        deletes = [it for it, _ in batch if it.op == "delete" and it.topics][:_AT_ONCE]
        roots: Mapping[int, Any] = {}
        copies: dict[int, int] = {}
        if deletes:
            found = await self._find(deletes)
            copies = {id(it): copy for it, copy in zip(deletes, found, strict=True)}
            try:
                roots = await self._existing(deletes[0].destination, list(copies.values()))
            except errors.RPCError as error:
                return batch[:1], [_outcome(error, "its topic cannot be read")]
        for count, (it, _) in enumerate(batch):
            is_root = copies.get(id(it), 0) in roots
            is_unread = it.op == "delete" and it.topics and id(it) not in copies
            if count and (is_root or is_unread or it.op == "topic"):
                return batch[:count], []
            if is_root:
                return batch[:1], [_DELETED]
        return batch, []

    # --- steps ----------------------------------------------------------------------------

    def _peer(self, chat: int) -> Any:
        return self._peers.input_peer(chat)

    async def _existing(self, destination: int, copies: Sequence[int]) -> Mapping[int, Any]:
        """Return those of some messages of the destination that are topics."""
        wanted = [it for it in dict.fromkeys(copies) if it][:_AT_ONCE]
        if not wanted:
            return {}
        return await topics_of(self._client, self._peer(destination), wanted)

    async def _find(self, topics: Sequence[Delivery], *, complete: bool = True) -> list[int]:
        unknown = [it for it in topics if _key(it) not in self._known]
        if unknown:
            found = await self._owner.topics.find(unknown, complete=complete)
            for it, copy in zip(unknown, found, strict=True):
                if copy:
                    self._remember(it, copy)
        return [self._known.get(_key(it), 0) for it in topics]

    async def _make(self, stub: Delivery, topic: Any) -> int:
        """Make a topic; it is linked as a copy is, and is made once by its random id."""
        if not await self._owner.is_stored([stub]):
            raise _StoppedError
        peer = self._peer(stub.destination)
        made = await make_topic(self._client, peer, topic, stub.random_id)
        self._owner.topics.made(stub, made)
        self._remember(stub, made)
        self._intents.end(stub.destination)
        if topic.closed:
            await change_topic(self._client, peer, made, topic)
        return made

    def _remember(self, topic: Delivery, copy: int) -> None:
        self._known[_key(topic)] = copy
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]


def _is_to_be_placed(it: Delivery) -> bool:
    return bool(it.topics and it.source_topic and not it.topic)


def _topic(delivery: Delivery, topic: int) -> Delivery:
    """Return the delivery that a topic of a delivery's source is."""
    it = Reference(delivery.rule, delivery.mode, delivery.source, topic, op="topic")
    return it.delivery(delivery.destination)


def _key(topic: Delivery) -> tuple[int, int, int]:
    return topic.rule, topic.source, topic.message


def _outcome(error: errors.RPCError, what: str) -> Outcome:
    """Return the outcome of what a refused request was for; raises the error of a lost login."""
    if is_lost_login(error):
        raise error
    outcome = failed(error, 1)
    if outcome.result != "refused":
        return outcome
    return Outcome("refused", reason=f"{what}: {error_name(error)}")
