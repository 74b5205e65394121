"""The ledger: what should have been copied, what was, when, in which order, and how.

It reads only the messages in the sandbox's chats, and their edits and deletes. A copy
that was sent is recognised by its text, so a judged flow gives each source message a
text of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sized
from dataclasses import dataclass, replace
from typing import Any

from afx.sandbox.judge import route as routes
from afx.sandbox.judge.route import Judgement, Side
from afx.sandbox.judge.verdict import Latency, Verdict
from afx.sandbox.telegram.boxes import Box, Content, Message
from afx.sandbox.telegram.peers import CHANNEL_BASE, Account, Channel, Peer
from afx.sandbox.telegram.world import World

Expected = Callable[[Content], Content | None]
"""What the copy of a content says; None: there must be none."""


@dataclass(slots=True, frozen=True)
class Route:
    """What a rule promises: each message of ``source`` once in ``destination``."""

    source: int
    destination: int
    account: int
    """The account whose session forwards: only its messages count as copies."""
    since_id: int = 0
    """Source messages up to this id are not part of the promise."""
    expected: Expected | None = None
    """What copies say, of a rule with filters or transforms; None: what their source says."""


class Ledger:
    """Judges routes over a world's messages."""

    def __init__(self, world: World, overlaps: Sized) -> None:
        """``overlaps`` are the logins that were used on two connections at once."""
        self._world = world
        self._overlaps = overlaps
        self.routes: list[Route] = []

    def expect(
        self, source: int, destination: int, account: int, expected: Expected | None = None
    ) -> Route:
        """Promise copies from now on; returns the route.

        A copy of what ``expected`` wants no copy of counts as strange.
        """
        ids = [message.id for message in self._sources(source, account)]
        route = Route(source, destination, account, max(ids, default=0), expected)
        self.routes.append(route)
        return route

    def judge(self) -> Verdict:
        """Return the verdict over all routes, and what was seen without any."""
        judged = self._judgements()
        published = {
            (route.source, number, route.account if route.source > 0 else 0)
            for route, it in judged
            for number in it.promised
        }
        ordered = sorted(seconds for _, it in judged for seconds in it.latencies)
        lost = sum(len(it.missing) for _, it in judged)
        expected = sum(len(it.promised) for _, it in judged)
        return Verdict(
            published=len(published),
            expected=expected,
            delivered=expected - lost,
            lost=lost,
            duplicated=sum(it.duplicated for _, it in judged),
            out_of_order=sum(it.out_of_order for _, it in judged),
            altered=sum(len(it.altered) for _, it in judged),
            wrong_replies=sum(it.wrong_replies for _, it in judged),
            revoked=len(self._overlaps),
            outdated=sum(it.outdated for _, it in judged),
            undeleted=sum(it.undeleted for _, it in judged),
            strange=self._strange(judged),
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
        return [
            {**_named(route, it), "text": it.text}
            for route, judged in self._judgements()
            for it in judged.missing
        ][:most]

    def altered(self, most: int = 20) -> list[dict[str, Any]]:
        """Return copies that do not say what their source says, with the fields that differ."""
        return [
            {
                **_named(route, it.source),
                "copy": it.copy.id,
                "fields": list(it.fields),
                "expected": it.source.text,
                "text": it.copy.text,
            }
            for route, judged in self._judgements()
            for it in judged.altered
        ][:most]

    def changes(self, after: int = 0, most: int = 100) -> list[dict[str, Any]]:
        """Return edits and deletes, oldest first: who did what to which message, and when.

        ``after`` leaves out so many of the oldest; a private message is changed in the
        box of each participant.
        """
        return [
            {
                "kind": it.kind,
                "by": it.by,
                "at": it.at,
                "chat": it.message.chat,
                "message": it.message.id,
                "sender": it.message.sender,
                "before": it.before.text,
                "after": it.after.text if it.after else None,
            }
            for it in self._world.changes[after : after + most]
        ]

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

    def _judgements(self) -> list[tuple[Route, Judgement]]:
        deleted = self._deleted()
        found = []
        for it in self.routes:
            sources = self._side(it.source, it.account, deleted)
            promised = [
                wanted
                for message in sources.messages
                if message.sender != it.account and message.id > it.since_id
                if (wanted := _wanted(message, it.expected)) is not None
            ]
            copies = self._side(it.destination, it.account, deleted)
            made = [message for message in copies.messages if message.sender == it.account]
            judged = routes.judge(
                it.source,
                it.account,
                Side(promised, sources.deleted),
                Side(made, copies.deleted),
            )
            found.append((it, judged))
        return found

    def _strange(self, judged: Iterable[tuple[Route, Judgement]]) -> int:
        """Count what accounts sent to promised destinations without it being any route's copy."""
        strange: dict[tuple[int, int], set[int]] = {}
        for route, it in judged:
            numbers = set(it.strange)
            if numbers and route.since_id:  # copies of what was posted before the promise
                old = {
                    routes.key(message.content)
                    for message in self._sources(route.source, route.account)
                    if message.id <= route.since_id
                }
                numbers = {n for n in numbers if routes.key(it.strange[n].content) not in old}
            place = (route.destination, route.account)
            strange[place] = strange.get(place, numbers) & numbers
        return sum(map(len, strange.values()))

    def _deleted(self) -> Mapping[int, list[tuple[Message, int]]]:
        """Return what was deleted from each box, with who did it, by the box's identity."""
        found: defaultdict[int, list[tuple[Message, int]]] = defaultdict(list)
        for it in self._world.changes:
            if it.kind == "delete":
                found[id(it.box)].append((it.message, it.by))
        return found

    def _side(
        self, chat: int, account: int, deleted: Mapping[int, list[tuple[Message, int]]]
    ) -> Side:
        """Return a chat's messages, with those that were deleted, without service messages."""
        messages = self._messages(chat, account)
        box = self._box(chat, account)
        gone = [it for it in deleted.get(id(box), ()) if it[0].chat == chat]
        if gone:
            messages = sorted([*messages, *(it for it, _ in gone)], key=lambda it: it.id)
        return Side([it for it in messages if it.action is None], {it.id: by for it, by in gone})

    def _promised(self, route: Route) -> list[Message]:
        return [it for it in self._sources(route.source, route.account) if it.id > route.since_id]

    def _sources(self, chat: int, account: int) -> Iterable[Message]:
        found = self._messages(chat, account)
        return (it for it in found if it.sender != account and it.action is None)

    def _copies(self, route: Route) -> Iterable[Message]:
        found = self._messages(route.destination, route.account)
        return (it for it in found if it.sender == route.account)

    def _box(self, chat: int, account: int) -> Box | None:
        """Return where a chat's messages lie: in its own box, or in the account's."""
        peer: Peer | None = self._world.find(chat)
        if isinstance(peer, Channel):
            return peer.box
        owner: Account | None = self._world.accounts.get(account)
        return owner.box if peer and owner else None

    def _messages(self, chat: int, account: int) -> list[Message]:
        box = self._box(chat, account)
        if box is None or chat < -CHANNEL_BASE:
            return list(box.messages.values()) if box else []
        return [it for it in box.messages.values() if it.chat == chat]


def _wanted(message: Message, expected: Expected | None) -> Message | None:
    """Return a source message as its copy is to be; None when there must be none."""
    if expected is None:
        return message
    content = expected(message.content)
    if content is None:
        return None
    earlier = [it for it in map(expected, message.earlier) if it is not None]
    return replace(message, **content._asdict(), earlier=tuple(earlier))


def _named(route: Route, source: Message) -> dict[str, Any]:
    return {
        "source": route.source,
        "message": source.id,
        "account": route.account,
        "destination": route.destination,
    }


def _percentile(ordered: list[float], share: float) -> float | None:
    if not ordered:
        return None
    return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)
