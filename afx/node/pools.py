"""The sender pools of one session's rules: it reads, and other sessions of its user send.

A rule whose senders were removed is sent by its own session again, but for what one of them may
have sent: that stays with its lane until this is known. And what the session may have sent itself
before its rule got senders, it alone sends again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, takewhile

from afx.cluster.links import is_channel
from afx.cluster.pools import Holder, PoolLane
from afx.empty import NONE, NOTHING
from afx.forwarding.pipeline import Delivery
from afx.forwarding.rules import Routes
from afx.node.lane_queue import Entry
from afx.node.outbox_reader import Incomplete
from afx.node.own_sends import OwnSends
from afx.node.pool_desk import PoolDesk
from afx.node.pool_lane import SenderLane
from afx.node.pool_stops import Stopped
from afx.telegram.sender import Outcome

_NO_CHANNEL = Outcome(
    "refused", reason="a rule with senders posts to channels and supergroups only"
)
_NO_DESK_SECONDS = 60.0


class Pools:
    """Gives the batches of rules with senders to these."""

    __slots__ = (
        "_asked",
        "_begun",
        "_desk",
        "_epoch",
        "_hindered",
        "_lanes",
        "_routes",
        "_rules",
        "_session",
        "_told",
        "chats",
        "is_unchecked",
        "own",
        "version",
    )

    def __init__(
        self,
        desk: PoolDesk | None,
        session: int,
        epoch: int,
        hindered: Callable[[int, str], None],
    ) -> None:
        """``hindered`` takes a rule, and what is wrong with its senders ("" for nothing)."""
        self._desk = desk
        self._session = session
        self._epoch = epoch
        self._hindered = hindered
        self._rules: Mapping[int, Mapping[str, int]] = NOTHING
        """rule → its senders' ids by their names, in order; 0 for one that does not exist."""
        self._lanes: Mapping[PoolLane, SenderLane] = NOTHING
        self._told: Mapping[int, str] = NOTHING
        self._routes: Routes = NOTHING
        self._begun: frozenset[int] = NONE
        """The random_ids of what the session had begun to send before its rules got senders."""
        self._asked: frozenset[int] = NONE
        """The random_ids of what senders may have sent where the session sends itself."""
        self.own = OwnSends()
        self.is_unchecked = False
        """Rules have lost their senders, and it was not looked what these may have sent."""
        self.version = 0
        """It rises when another one may have to make what is chosen already."""
        self.chats: frozenset[int] = NONE
        """The destinations of rules with senders, or that had some."""

    def use_routes(
        self, routes: Routes, incomplete: Incomplete, begun: Iterable[Delivery] = ()
    ) -> None:
        """Know the senders of all rules; ``begun`` are the deliveries that may be under way."""
        mine = [it for it in begun if it.op == "send" and not self.has(it)]
        all_routes = list(chain.from_iterable(routes.values()))
        found = {it.rule: it.options.senders for it in all_routes if it.options.senders}
        more = {rule: it.options.senders for rule, it in incomplete.items() if it}
        rules = {rule: dict(it) for rule, it in {**more, **found}.items() if it}
        if rules.keys() - self._rules.keys():
            self._begun = frozenset(it.random_id for it in mine) or NONE
        without = self._rules.keys() - rules.keys()
        self._rules, self._routes = rules or NOTHING, routes
        pooled = (PoolLane(it.rule, it.destination) for it in all_routes if it.rule in rules)
        begun_lanes = {PoolLane(it.rule, it.destination) for it in mine}
        self.own.use((it for it in pooled if is_channel(it.destination)), begun_lanes)
        self.is_unchecked = self.is_unchecked or bool(without or self.own.inherited)
        self._note_chats()
        for rule in without:
            for lane in (its for key, its in self._lanes.items() if key.rule == rule):
                lane.trouble = ""
            self._report(rule)

    async def check(self) -> None:
        """Find the rules without senders that had some: what these may have sent, they send.

        A rule may lose its senders while its session does not run, so that only the lanes in
        Redis tell of them. So may one get senders: what the session may have sent, it sends.
        """
        if self._desk is None:
            return
        store, self.is_unchecked = self._desk.store, False
        fresh = sorted(self.own.inherited)
        wanted = {
            PoolLane(it.rule, it.destination)
            for it in chain.from_iterable(self._routes.values())
            if it.rule not in self._rules and is_channel(it.destination)
        }
        lanes = sorted(wanted - self._lanes.keys())
        try:
            if fresh:
                asked = await self._desk.ask(lambda: store.asked(fresh))
                self._asked = frozenset(asked) or NONE
            found = await self._desk.ask(lambda: store.existing(lanes)) if lanes else []
        except BaseException:
            self.is_unchecked = True
            raise
        self._lanes = {**{it: self._new_lane(it) for it in found}, **self._lanes} or NOTHING
        self._note_chats()

    def _note_chats(self) -> None:
        self.version += 1
        chats = {
            it.destination
            for it in chain.from_iterable(self._routes.values())
            if it.rule in self._rules
        }
        self.chats = frozenset(chats.union(it.destination for it in self._lanes)) or NONE

    def has(self, delivery: Delivery) -> bool:
        """Return whether a delivery is made by a sender of its rule."""
        if delivery.parts:
            return False  # a digest is sent by the account itself
        if delivery.rule in self._rules:
            inherited = self.own.inherited if delivery.op == "send" else ()
            if inherited and PoolLane(delivery.rule, delivery.destination) in inherited:
                return delivery.random_id in self._asked
            return delivery.random_id not in self._begun or delivery.op != "send"
        if not self._lanes:
            return False
        lane = self._lanes.get(PoolLane(delivery.rule, delivery.destination))
        return lane is not None and lane.may_have_sent(delivery)

    def give_up(self, delivery: Delivery) -> bool:
        """Let senders make what the session may have sent in an earlier run: it cannot do so.

        Returns False where it is not that.
        """
        lane = PoolLane(delivery.rule, delivery.destination)
        if delivery.op != "send" or lane not in self.own.inherited:
            return False
        self.own.end([lane])
        self.version += 1
        return True

    def is_in_doubt(self, delivery: Delivery) -> bool:
        """Return whether a sender of its rule may have sent a delivery that is not settled."""
        lane = self._lanes.get(PoolLane(delivery.rule, delivery.destination))
        return lane is not None and lane.may_have_sent(delivery)

    def first_alike(self, batch: list[Entry]) -> tuple[bool, list[Entry]]:
        """Return the first of a batch that senders of one rule make, or the session itself.

        With it: whether senders do.
        """
        first = batch[0][0]
        if not self.chats:
            return False, batch
        if self.has(first):
            same = takewhile(lambda it: it[0].rule == first.rule and self.has(it[0]), batch)
            return True, list(same)
        return False, list(takewhile(lambda it: not self.has(it[0]), batch))

    async def send(self, batch: Sequence[Delivery], *, singly: bool) -> list[Outcome] | Stopped:
        """Let a sender make the first deliveries of a batch, which are of one rule."""
        first = batch[0]
        if not is_channel(first.destination):
            return [_NO_CHANNEL] * len(batch)
        if self._desk is None:
            return Stopped(wait=_NO_DESK_SECONDS)
        key = PoolLane(first.rule, first.destination)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._new_lane(key)
            self._lanes = {**self._lanes, key: lane}
        named = self._rules.get(key.rule, NOTHING)
        senders = {number: name for name, number in named.items() if number}
        self._report(key.rule)
        made = await lane.send(batch, senders, singly=singly)
        is_own = key.rule not in self._rules and not lane.may_have_sent(first)
        if isinstance(made, Stopped) and is_own and not made.is_foreign:
            return Stopped()  # its own session sends it
        return made

    def _new_lane(self, key: PoolLane) -> SenderLane:
        assert self._desk is not None
        owner = Holder(self._session, self._desk.incarnation, self._epoch)
        return SenderLane(self._desk, owner, key, lambda: self._report(key.rule))

    def _report(self, rule: int) -> None:
        """Tell what is wrong with a rule's senders, if that has changed."""
        named = self._rules.get(rule, NOTHING)
        parts = [f"{name}: it does not exist" for name, number in named.items() if not number]
        parts += [
            it.trouble for lane, it in self._lanes.items() if lane.rule == rule and it.trouble
        ]
        text = "; ".join(dict.fromkeys(parts))
        if text != self._told.get(rule, ""):
            self._told = {**self._told, rule: text}
            self._hindered(rule, text)
