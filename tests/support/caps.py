"""A bench for the caps of rules: what goes to a lane, what is stored, and the time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from types import SimpleNamespace

from afx.coordinator.checkpoints import _FIELD
from afx.forwarding.caps import Caps
from afx.forwarding.options import Options
from afx.forwarding.pipeline import Delivery, Incoming
from afx.forwarding.rules import Route
from afx.node.outboxes import Outboxes
from afx.node.postponed import Postponed
from afx.node.references import Reference

SOURCE, TO = -1_000_000_000_005, -1_000_000_000_006
START = datetime(2026, 3, 6, 20, 10, tzinfo=UTC).timestamp()
HOUR, DAY = 3_600.0, 86_400.0


def capped(per_hour: int = 0, per_day: int = 0, rule: int = 1) -> Route:
    return Route(rule, TO, "copy", options=Options(caps=Caps(per_hour, per_day)))


class Bench:
    """A capped rule, what has gone to its lane, what is stored, and the time."""

    def __init__(self, *routes: Route) -> None:
        self.now = START
        self.sent: list[int] = []
        self.lane: list[int] = []
        """What the lane has still to send."""
        self.told: list[str] = []
        self.stored: dict[str, str] = {}
        self.routes = routes
        self.later = self.made()

    def made(self, outboxes: Outboxes | None = None) -> Postponed:
        found = Postponed(
            lambda: self.now,
            self.release,
            lambda: None,
            lambda _, text: self.told.append(text),
            lambda rule, _: len(self.lane) if rule == 1 else 0,
        )
        found.load(dict(self.stored))
        waiting = outboxes.waiting_for(TO) if outboxes else ()
        self.lane = [it.message for it in waiting]
        found.use_routes({SOURCE: self.routes}, {})
        found.start()
        return found

    def release(self, given: Delivery) -> bool:
        if given.message in self.lane:
            return False
        self.sent.append(given.message)
        self.lane.append(given.message)
        return True

    def offer(self, message: int, album: int = 0, rule: int = 1, chat: int = SOURCE) -> str:
        raw = SimpleNamespace(date=datetime.fromtimestamp(int(self.now), UTC), grouped_id=album)
        source = Incoming(chat, message, "text", (), False, raw)
        when = self.later.offer(delivery(message, rule), source)
        if when == "now":
            self.sent.append(message)
            self.lane += [message] if rule == 1 else []
        return when

    def turn(self, seconds: float) -> list[int]:
        """Let time pass; returns what went to its lane since the last call."""
        self.settle(len(self.sent))
        self.now += seconds
        self.later._turn()
        sent, self.sent = self.sent, []
        self.settle(len(sent))
        return sent

    def settle(self, copies: int) -> None:
        for _ in range(copies):
            del self.lane[:1]
            self.later.gate.counts.settled(1, TO)

    def commit(self) -> None:
        self.later.gate.counts.is_unstored([1])  # as before each send
        fields = [*self.later.gate.counts.take_fields(), *self.later.take_fields()]
        self.stored.update(zip(fields[::2], fields[1::2], strict=True))
        self.stored = {it: text for it, text in self.stored.items() if text}
        assert all(_FIELD.fullmatch(f"{it}={text}") for it, text in self.stored.items())
        self.later.gate.counts.note_committed()

    def restart(self, outboxes: Outboxes | None = None) -> None:
        self.commit()
        self.later.end()
        self.later = self.made(outboxes)


def delivery(message: int, rule: int = 1) -> Delivery:
    return Reference(rule, "copy", SOURCE, message).delivery(TO)


def in_loop(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await asyncio.wait_for(scenario(), 60)

    asyncio.run(main())
