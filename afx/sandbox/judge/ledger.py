"""The ledger: what should have been copied, what was, when, and in which order.

It reads only the messages in the sandbox's chats. A copy is recognised by its
text, so a judged flow gives each source message a text of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sized
from dataclasses import dataclass, field
from typing import Any

from afx.sandbox.judge.verdict import Latency, Verdict
from afx.sandbox.telegram.boxes import Message
from afx.sandbox.telegram.peers import Account, Channel, Peer
from afx.sandbox.telegram.world import World


@dataclass(slots=True, frozen=True)
class Route:
    """What a rule promises: each message of ``source`` once in ``destination``."""

    source: int
    destination: int
    account: int
    """The account whose session forwards: only its messages count as copies."""
    since_id: int = 0
    """Source messages up to this id are not part of the promise."""


@dataclass(slots=True)
class _Tally:
    """The figures of the routes that were judged so far."""

    expected: int = 0
    delivered: int = 0
    lost: int = 0
    duplicated: int = 0
    out_of_order: int = 0
    latencies: list[float] = field(default_factory=list)
    """Seconds from each source message to its copy."""


class Ledger:
    """Judges routes over a world's messages."""

    def __init__(self, world: World, overlaps: Sized) -> None:
        """``overlaps`` are the logins that were used on two connections at once."""
        self._world = world
        self._overlaps = overlaps
        self.routes: list[Route] = []

    def expect(self, source: int, destination: int, account: int) -> Route:
        """Promise copies from now on; returns the route."""
        ids = [message.id for message in self._sources(source, account)]
        route = Route(source, destination, account, max(ids, default=0))
        self.routes.append(route)
        return route

    def judge(self) -> Verdict:
        """Return the verdict over all routes, and what was seen without any."""
        tally = _Tally()
        published: set[tuple[int, int, int]] = set()
        for route in self.routes:
            sources = self._promised(route)
            published.update(
                (route.source, message.id, route.account if route.source > 0 else 0)
                for message in sources
            )
            self._judge_route(route, sources, tally)
        ordered = sorted(tally.latencies)
        return Verdict(
            published=len(published),
            expected=tally.expected,
            delivered=tally.delivered,
            lost=tally.lost,
            duplicated=tally.duplicated,
            out_of_order=tally.out_of_order,
            revoked=len(self._overlaps),
            latency_ms=Latency(_percentile(ordered, 0.5), _percentile(ordered, 0.99)),
            posted=self._world.posted,
            sent=self._world.sent,
        )

    def span(self) -> float:
        """Return the seconds from the first promised post to the newest copy."""
        posts = [it.sent_at for route in self.routes for it in self._promised(route)]
        copies = [it.sent_at for route in self.routes for it in self._copies(route)]
        return max(copies) - min(posts) if posts and copies else 0.0

    def missing(self, most: int = 20) -> list[dict[str, Any]]:
        """Return source messages that have no copy yet."""
        found: list[dict[str, Any]] = []
        for route in self.routes:
            texts = {message.text for message in self._copies(route)}
            for message in self._promised(route):
                if message.text not in texts:
                    found.append(
                        {
                            "source": route.source,
                            "message": message.id,
                            "account": route.account,
                            "destination": route.destination,
                            "text": message.text,
                        }
                    )
                    if len(found) == most:
                        return found
        return found

    def first_copies(self, since: dict[int, float]) -> dict[int, float]:
        """Return when each account's first copy after its own time was made.

        All are monotonic seconds of this machine.
        """
        first: dict[int, float] = {}
        for route in self.routes:
            begin = since.get(route.account)
            if begin is None:
                continue
            for message in self._copies(route):
                if message.sent_at >= begin:
                    earliest = first.get(route.account, message.sent_at)
                    first[route.account] = min(earliest, message.sent_at)
        return first

    def rows(
        self, chat: int, account: int = 0, after: int = 0, most: int = 100
    ) -> list[dict[str, Any]]:
        """Return a chat's messages after an id, oldest first, as plain values."""
        messages = [it for it in self._messages(chat, account) if it.id > after]
        return [
            {
                "id": it.id,
                "sender": it.sender,
                "text": it.text,
                "date": it.date,
                "sent_at": it.sent_at,
                "random_id": it.random_id,
                "forwarded": it.forwarded,
                "edited": it.edited,
            }
            for it in messages[:most]
        ]

    def _judge_route(self, route: Route, sources: list[Message], tally: _Tally) -> None:
        by_text = {message.text: message for message in sources}
        seen: set[int] = set()
        newest = 0
        for copy in self._copies(route):
            source = by_text.get(copy.text)
            if source is None:
                continue
            if source.id in seen:
                tally.duplicated += 1
                continue
            seen.add(source.id)
            tally.latencies.append(copy.sent_at - source.sent_at)
            if source.id < newest:
                tally.out_of_order += 1
            newest = max(newest, source.id)
        tally.expected += len(sources)
        tally.delivered += len(seen)
        tally.lost += len(sources) - len(seen)

    def _promised(self, route: Route) -> list[Message]:
        return [it for it in self._sources(route.source, route.account) if it.id > route.since_id]

    def _sources(self, chat: int, account: int) -> Iterable[Message]:
        return (it for it in self._messages(chat, account) if it.sender != account)

    def _copies(self, route: Route) -> Iterable[Message]:
        found = self._messages(route.destination, route.account)
        return (it for it in found if it.sender == route.account)

    def _messages(self, chat: int, account: int) -> list[Message]:
        peer: Peer | None = self._world.find(chat)
        if isinstance(peer, Channel):
            return list(peer.box.messages.values())
        owner: Account | None = self._world.accounts.get(account)
        if peer is None or owner is None:
            return []
        return [it for it in owner.box.messages.values() if it.chat == chat]


def _percentile(ordered: list[float], share: float) -> float | None:
    if not ordered:
        return None
    return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)
