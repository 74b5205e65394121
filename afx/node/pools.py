"""The sender pools of one session's rules: it reads, and other sessions of its user send."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain, takewhile

from afx.cluster.links import is_channel
from afx.cluster.pools import Holder, PoolLane
from afx.empty import NONE, NOTHING
from afx.forwarding.pipeline import Delivery
from afx.forwarding.rules import Routes
from afx.node.lane_queue import Entry
from afx.node.outbox_reader import Incomplete
from afx.node.pool_desk import PoolDesk
from afx.node.pool_lane import SenderLane, Stopped
from afx.telegram.sender import Outcome

_NO_CHANNEL = Outcome(
    "refused", reason="a rule with senders posts to channels and supergroups only"
)
_NO_DESK_SECONDS = 60.0


class Pools:
    """Gives the batches of rules with senders to these."""

    __slots__ = ("_desk", "_epoch", "_hindered", "_lanes", "_rules", "_session", "_told", "chats")

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
        self.chats: frozenset[int] = NONE
        """The destinations of rules with senders."""

    def use_routes(self, routes: Routes, incomplete: Incomplete) -> None:
        """Know the senders of all rules."""
        all_routes = list(chain.from_iterable(routes.values()))
        found = {it.rule: it.options.senders for it in all_routes if it.options.senders}
        more = {rule: it.options.senders for rule, it in incomplete.items() if it}
        rules = {rule: dict(it) for rule, it in {**more, **found}.items() if it}
        self._rules = rules or NOTHING
        self.chats = frozenset(it.destination for it in all_routes if it.rule in rules) or NONE

    def has(self, delivery: Delivery) -> bool:
        """Return whether a delivery is made by a sender of its rule."""
        return delivery.rule in self._rules and not delivery.parts

    def first_alike(self, batch: list[Entry]) -> tuple[bool, list[Entry]]:
        """Return the first of a batch that senders of one rule make, or the session itself.

        With it: whether senders do.
        """
        first = batch[0][0]
        if not self.chats:
            return False, batch
        if self.has(first):
            return True, list(takewhile(lambda it: it[0].rule == first.rule, batch))
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
            owner = Holder(self._session, self._desk.incarnation, self._epoch)
            lane = SenderLane(self._desk, owner, key, lambda: self._report(key.rule))
            self._lanes = {**self._lanes, key: lane}
        senders = {number: name for name, number in self._rules[key.rule].items() if number}
        self._report(key.rule)
        return await lane.send(batch, senders, singly=singly)

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
