"""What to do about a doubt of a pool's lane whose sender cannot be asked again.

An operator may have decided it. Otherwise another account of the rule looks for the copies among
the posts of the destination: that tells what was not sent only if nothing can be under way any
more, so some time after the sender was asked last, and never while it may still work at it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

from afx.cluster.links import CopyLink, CopyRoute
from afx.cluster.pool_doubts import NOT_SENT, Doubt
from afx.cluster.pools import Holder, PoolLane
from afx.forwarding.pipeline import Delivery
from afx.node.pool_answers import ABSENT, UNCLEAR
from afx.node.pool_desk import PoolDesk
from afx.node.pool_orders import Order
from afx.node.pool_sought import Sought, media_of
from afx.telegram.sender import Outcome

Contact = Literal["away", "answered", "silent"]
"""How a sender was found last: on no node, answering, or on a node that takes nothing."""

_SURE_SECONDS = 60.0
"""So long after a sender was asked last, nothing of it is under way any more."""
_UNCLEAR_SECONDS = 600.0
"""What was unclear is looked for again after that."""
_UNABLE_SECONDS = 60.0
"""The same where an account could not read the destination."""


@dataclass(slots=True, frozen=True)
class Search:
    """Some sends are to be looked for by an account."""

    reader: int
    part: tuple[Delivery, ...]
    sought: Sought


class LaneDoubts:
    """The doubts of one lane, as its owner's node has them."""

    def __init__(self, desk: PoolDesk, owner: Holder, lane: PoolLane) -> None:
        self._desk = desk
        self._owner = owner
        self._lane = lane
        self._contacts: dict[int, Contact] = {}
        self._unable: dict[int, float] = {}
        """Until when, in monotonic seconds, an account is not asked to read."""
        self._unclear: dict[int, tuple[float, str]] = {}
        """random_id → until when it is not looked for again, and what was unclear."""

    def forget_contacts(self) -> None:
        """Know of no sender how it is found: there is a new fence."""
        self._contacts.clear()

    def note_contact(self, sender: int, contact: Contact) -> None:
        """Note how a sender was found."""
        self._contacts[sender] = contact

    def note_unable(self, reader: int, seconds: float = _UNABLE_SECONDS) -> None:
        """Ask an account for some seconds not to read."""
        self._unable[reader] = self._desk.monotonic() + seconds

    def reason(self, part: Sequence[Delivery]) -> str:
        """Return what is unclear of some sends; "" when nothing is."""
        return next(
            (self._unclear[it.random_id][1] for it in part if it.random_id in self._unclear), ""
        )

    async def stored(
        self, part: Sequence[Delivery], sender: int, fence: int
    ) -> tuple[dict[int, Doubt], int, float]:
        """Return what Redis has of some sends of a sender's (see ``PoolStore.doubts``).

        What it has lost is noted anew, for operators to decide.
        """
        store = self._desk.store
        found, until, idle = await self._desk.ask(lambda: store.doubts(self._lane, sender))
        ids = {it.random_id: (it.source, it.message) for it in part}
        doubts = {it.random_id: it for it in found if it.sender == sender and it.random_id in ids}
        if lost := {it: of for it, of in ids.items() if it not in doubts}:
            await self._desk.ask(
                lambda: store.note_doubts(
                    self._lane, self._owner, fence=fence, sender=sender, ids=lost
                )
            )
        return doubts, until, idle

    def judge(self, order: Order, outcomes: Sequence[Outcome]) -> list[int]:
        """Take what a search has found; returns what is in doubt no more."""
        now = self._desk.monotonic()
        settled = []
        for it, its in zip(order.deliveries, outcomes, strict=True):
            if its.result == "known" or its.reason == ABSENT:
                settled.append(it.random_id)
                self._unclear.pop(it.random_id, None)
            elif its.reason.startswith(UNCLEAR):
                reason = its.reason.removeprefix(UNCLEAR)
                self._unclear[it.random_id] = now + _UNCLEAR_SECONDS, reason
            else:
                self.note_unable(order.sender, max(_UNABLE_SECONDS, its.seconds))
        return settled

    async def decided(
        self,
        part: Sequence[Delivery],
        doubts: Mapping[int, Doubt],
        idle: float,
        required: int,
        fence: int,
    ) -> tuple[str, list[int], list[Outcome]]:
        """Do what an operator has decided of the first of some sends (see ``search``).

        Returns ``none`` when nothing was decided, ``put``, or what else a store answers; with
        it the random_ids that are in doubt no more, and the outcomes of those that have copies.
        """
        first = doubts.get(part[0].random_id)
        if first is None or not first.verdict or not self._is_sure(required, idle):
            return "none", [], []
        is_sent = first.copy > 0
        same = list(
            takewhile(
                lambda it: (
                    (its := doubts.get(it.random_id)) is not None
                    and its.verdict
                    and (its.verdict != NOT_SENT) is is_sent
                ),
                part,
            )
        )
        outcomes = [
            Outcome("known", doubts[it.random_id].copy, is_earlier=True) for it in same if is_sent
        ]
        links = [
            CopyLink(CopyRoute(it.rule, it.source, it.destination), it.message, its.copy)
            for it, its in zip(same, outcomes, strict=False)
        ]
        ids = [it.random_id for it in same]
        answer = await self._desk.ask(
            lambda: self._desk.store.settle(
                self._lane, self._owner, fence=fence, sender=required, ids=ids, links=links
            )
        )
        return answer, ids, outcomes

    async def search(
        self,
        part: Sequence[Delivery],
        doubts: Mapping[int, Doubt],
        until: int,
        idle: float,
        required: int,
        senders: Sequence[int],
    ) -> Search | None:
        """Return what is to be looked for, and by whom; None for nothing now.

        ``until`` is when the sender may have been at work last, in Unix seconds of Redis, and
        ``idle`` how many seconds ago that was.
        """
        if not self._is_sure(required, idle):
            return None
        contact, now = self._contacts.get(required), self._desk.monotonic()
        known = list(
            takewhile(lambda it: (its := doubts.get(it.random_id)) and its.since > 0, part)
        )
        if not known:
            reason = "Redis has lost when it was asked for"
            self._unclear[part[0].random_id] = now + _UNCLEAR_SECONDS, reason
            return None
        if self._unclear.get(known[0].random_id, (0.0, ""))[0] > now:
            return None
        itself = [required] if contact == "answered" else []
        readers = [*itself, *(it for it in senders if it != required), self._owner.session]
        reader = next((it for it in readers if self._unable.get(it, 0.0) <= now), 0)
        if not reader:
            reason = "no account of the rule can read the destination now"
            self._unclear[known[0].random_id] = now, reason
            return None
        its = [doubts[it.random_id] for it in known]
        sample = await self._desk.ask(
            lambda: self._desk.store.posters.copy_by(self._lane, required)
        )
        sought = Sought(
            required,
            min(it.after for it in its),
            min(it.since for it in its),
            until,
            sample,
            tuple(map(media_of, known)),
        )
        return Search(reader, tuple(known), sought)

    def _is_sure(self, required: int, idle: float) -> bool:
        """Return whether nothing that a sender was asked for is under way any more."""
        return self._contacts.get(required) in ("away", "answered") and idle >= _SURE_SECONDS
