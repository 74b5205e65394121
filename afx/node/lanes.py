"""The lanes of one session, by destination: paused, resumed and ended together."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from afx.forwarding.outputs import is_output
from afx.forwarding.pipeline import Delivery
from afx.node.lane import Lane
from afx.node.outboxes import Outboxes
from afx.node.pause import Pause
from afx.node.pools import Pools


class Lanes(dict[int, Lane]):
    """One lane for each destination to which anything was sent."""

    __slots__ = ("_pools", "pauses")

    def __init__(self, pools: Pools) -> None:
        super().__init__()
        self._pools = pools
        self.pauses = Pause(0)
        """Why nothing is sent; none when anything is."""

    def pause(self, reason: Pause) -> None:
        """Start no new sends."""
        self.pauses |= reason
        for lane in self.values():
            lane.pause()

    def resume(self, reason: Pause) -> None:
        """Go on sending, unless there is another reason not to."""
        if reason not in self.pauses:
            return
        self.pauses &= ~reason
        if not self.pauses:
            for lane in self.values():
                lane.resume()

    def begun(self) -> list[Delivery]:
        """Return what may have been sent, and is not settled."""
        return [it for lane in self.values() for it in lane.begun()]

    def leave_out(self, rules: Collection[int]) -> None:
        """Make only what is of these rules, and what may have been sent: the others are gone."""
        for lane in list(self.values()):
            lane.leave_out(rules)

    def sends(self, outboxes: Outboxes, rule: int, destination: int) -> int:
        """Return how many messages of a rule are still to be sent to a destination."""
        lane = self.get(destination)
        them = lane.waiting() if lane else outboxes.waiting_for(destination)
        return sum(it.op == "send" and it.rule == rule for it in them)

    async def drain(self) -> None:
        """Start no new sends, and wait a short time for those in flight."""
        self.pauses |= Pause.CONNECTION
        await asyncio.gather(*(lane.drain() for lane in self.values()))

    async def cancel(self) -> None:
        """Stop sending at once; what is not settled stays in its lane."""
        self.pauses |= Pause.CONNECTION
        await asyncio.gather(*(lane.cancel() for lane in self.values()))

    def wait(self, destination: int | str, seconds: float, *, is_for_all: bool) -> None:
        """Send nothing to a destination, or to any, for a time; others may send for a pool."""
        for it, lane in self.items():
            if it in self._pools.chats:
                continue
            if it == destination or (is_for_all and not is_output(it)):
                lane.wait(seconds)
