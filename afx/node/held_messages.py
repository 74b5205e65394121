"""Messages that wait for an operator's approval: reported, and sent once they are approved.

They are reported in the fenced call that moves the cursor past them, as dead letters are, and
wait as rows in SQL: nothing of them is kept here, so a restart, a move and a flushed Redis
change nothing. An approval names the content that was looked at: what was edited since waits
once more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Protocol

from afx.cluster.held_content import HeldContent, HeldPart, encode, name_of
from afx.cluster.links import is_channel
from afx.empty import NOTHING
from afx.forwarding.changes import Change
from afx.forwarding.facts import kind_of
from afx.forwarding.pipeline import Delivery, Incoming, deliveries
from afx.forwarding.review import EXPIRES
from afx.forwarding.rules import Route, Routes
from afx.forwarding.templates import link_to
from afx.node.held_reports import Approved, HeldGone, HeldMessage, HeldReport
from afx.node.references import Reference
from afx.node.sealer import Sealer
from afx.reasons import HeldEnd, HeldEvent
from afx.telegram.contents import content_digest
from afx.telegram.facts import TelegramFacts
from afx.telegram.messages import incoming

_KEPT, _KEPT_CHARACTERS, _KEPT_SECONDS = 5_000, 2 * 1024 * 1024, 900.0
"""Reports that are made once more when Redis has lost its data: what a session that catches up
holds at once has to be among them, and what has come while SQL was away, as with links. What the
leader has read is known to it."""
_ALBUM_BITS = 0x7FFFFFFF


class HeldOwner(Protocol):
    """The forwarder whose messages wait."""

    def progressed(self) -> None:
        """There is something to commit."""

    async def read(self, chat: int, ids: Sequence[int]) -> list[Any]:
        """Return the messages of a chat that still exist (see ``MessageSource.fetch``)."""

    def put_approved(self, delivery: Delivery, message: Incoming) -> bool:
        """Put an approved message behind all others; False where too many wait."""


class HeldMessages:
    """What one session holds back, until it is taken for a commit."""

    __slots__ = (
        "_kept",
        "_lock",
        "_monotonic",
        "_now",
        "_owner",
        "_released",
        "_reports",
        "_rules",
        "_sealer",
        "_sent",
    )

    def __init__(
        self,
        owner: HeldOwner,
        sealer: Sealer | None,
        now: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        """``sealer`` encrypts contents; without it none are shown. ``now`` is the wall clock."""
        self._owner = owner
        self._sealer = sealer
        self._now = now
        self._monotonic = monotonic
        self._rules: Mapping[int, int] = NOTHING
        """rule → for how many seconds its messages wait."""
        self._reports: list[HeldReport] = []
        self._sent: Sequence[HeldReport] = ()
        self._released: list[HeldGone] = []
        """What waits in outboxes that are not stored yet."""
        self._kept: deque[tuple[float, HeldReport]] | None = None
        self._lock: asyncio.Lock | None = None

    def use_routes(self, routes: Routes) -> None:
        """Know which rules have reviews."""
        found = {
            it.rule: it.options.review
            for them in routes.values()
            for it in them
            if it.options.review
        }
        self._rules = found or NOTHING

    # --- in ------------------------------------------------------------------------------

    def takes(self, delivery: Delivery, message: Incoming) -> bool:
        """Return whether a message waits for an approval, and report it then."""
        if delivery.rule not in self._rules:
            return False
        self._hold(HeldEvent.HELD, delivery, message)
        return True

    def note_change(self, routes: Routes, change: Change) -> None:
        """Report an edit, or a delete, of what may wait for an approval."""
        if not self._rules or change.kind not in ("edit", "delete"):
            return
        chats = [change.chat] if change.chat else [it for it in routes if not is_channel(it)]
        for chat in chats:
            for route in routes.get(chat, ()):
                if route.rule not in self._rules:
                    continue
                if change.message is not None:
                    self._hold(HeldEvent.EDITED, _made(change.message, route), change.message)
                else:
                    gone = (route.rule, chat, route.destination, change.messages)
                    self._reports.append(HeldGone(HeldEnd.DELETED, *gone))
                self._owner.progressed()

    def _hold(self, event: HeldEvent, delivery: Delivery, message: Incoming) -> None:
        name = name_of(delivery.rule, delivery.source, delivery.destination, delivery.message)
        content = ""
        if self._sealer is not None:
            content = self._sealer.seal_held(encode(_content(delivery, message)), of=name)
        grouped = getattr(message.raw, "grouped_id", None) or 0
        seconds = self._rules.get(delivery.rule, EXPIRES)
        self._reports.append(
            HeldMessage(
                event,
                delivery.rule,
                delivery.source,
                delivery.destination,
                delivery.message,
                (grouped & _ALBUM_BITS) or int(bool(grouped)),
                version_of(message),
                content,
                int(self._now()) + seconds,
            )
        )

    # --- out -----------------------------------------------------------------------------

    async def approve(
        self,
        routes: Routes,
        incomplete: Mapping[int, Any],
        rule: int,
        source: int,
        destination: int,
        versions: Mapping[int, int],
    ) -> Approved:
        """Put approved messages of a route behind what waits for their destination.

        ``versions`` are those of the contents that were looked at, by message. Nothing is sent
        where the rule does not lead any more; that of an ``incomplete`` one may not be known
        now. Approvals that come together take their turns. Raises what reading the messages
        raises.
        """
        leads = any(
            (it.rule, it.destination) == (rule, destination) for it in routes.get(source, ())
        )
        if not leads and rule not in incomplete:
            return Approved(0, 0, 0, unsent=len(versions))
        if self._lock is None:
            self._lock = asyncio.Lock()
        async with self._lock:
            found = await self._owner.read(source, list(versions))
            messages = {it.id: it for it in map(incoming, found) if it is not None}
            route = _route(routes, rule, source, destination)
            released, gone, edited = [], [], 0
            for number, version in versions.items():
                message = messages.get(number)
                if message is None:
                    gone.append(number)
                elif version_of(message) != version:
                    edited += 1
                    self._hold(HeldEvent.AGAIN, _made(message, route), message)
                else:
                    delivery = Reference(rule, route.mode, source, number).delivery(destination)
                    if self._owner.put_approved(delivery, message):
                        released.append(number)
            if gone:
                self._reports.append(
                    HeldGone(HeldEnd.DELETED, rule, source, destination, tuple(gone))
                )
            if released:
                self._released.append(
                    HeldGone(HeldEnd.RELEASED, rule, source, destination, tuple(released))
                )
            self._owner.progressed()
        return Approved(len(released), edited, len(gone))

    def report_released(self) -> None:
        """Report what is in outboxes: they are stored."""
        self._reports += self._released
        self._released = []

    # --- what is to be stored --------------------------------------------------------------

    def take(self) -> Sequence[HeldReport]:
        """Return what has come since the last call, in its order."""
        self._sent, self._reports = self._reports, []
        return self._sent

    def put_back(self) -> None:
        """What was taken last could not be stored."""
        self._reports = [*self._sent, *self._reports]
        self._sent = ()

    def note_committed(self) -> None:
        """Keep the last reports for a while: the leader may not have read them yet."""
        for it in self._sent:
            if self._kept is None:
                self._kept = deque(maxlen=_KEPT)
            self._kept.append((self._monotonic(), it))
        self._sent = ()
        self.forget_old()

    def forget_old(self) -> None:
        """Forget what the leader has read long since; call it from time to time."""
        kept = self._kept
        if not kept:
            return
        since = self._monotonic() - _KEPT_SECONDS
        size = sum(map(_size, kept))
        while kept and (kept[0][0] < since or size > _KEPT_CHARACTERS):
            size -= _size(kept.popleft())
        self._kept = kept or None

    def mark_all(self) -> None:
        """Let the next commit report the last ones once more: Redis has lost its data."""
        self.forget_old()
        if self._kept:
            self._reports = [*(it for _, it in self._kept), *self._reports]
            self._kept = None


def _size(kept: tuple[float, HeldReport]) -> int:
    """Return the characters of a report, about; of one that a message has gone 100."""
    return 100 + (len(kept[1].content) if isinstance(kept[1], HeldMessage) else 0)


def version_of(message: Incoming) -> int:
    """Return a number of a message's content: its text, formatting and file."""
    marks = [(kind_of(it), it.offset, it.length) for it in message.entities]
    content = repr((content_digest(message), message.text, marks)).encode("utf-8", "replace")
    return int.from_bytes(blake2b(content, digest_size=6).digest())


def _route(routes: Routes, rule: int, source: int, destination: int) -> Route:
    """Return a route; a bare one where not all chats of its rule are known now."""
    for it in routes.get(source, ()):
        if (it.rule, it.destination) == (rule, destination):
            return it
    return Route(rule, destination, "copy")


def _made(message: Incoming, route: Route) -> Delivery:
    [made] = deliveries(message, [route], TelegramFacts)
    return made


def _content(delivery: Delivery, message: Incoming) -> HeldContent:
    parts = [
        HeldPart(kind_of(it), it.offset, it.length, getattr(it, "url", None) or "")
        for it in delivery.entities
    ]
    link = link_to(delivery.source, delivery.message)
    return HeldContent(delivery.text, parts, TelegramFacts(message).media, link, delivery.error)
