"""The backfills of one session: what they hold back, how far they are, and what is stored.

While a backfill reads, what is new of its rule for its destination waits behind it (see
``postponed``); all that it reads goes to the outbox before that does. So the order is that of the
messages. What a crash cuts is read twice at worst: a copy that is linked settles without a send.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping

from afx.empty import NONE, NOTHING
from afx.forwarding.pipeline import Delivery
from afx.node.backfill_state import Backfill, Key, Stage, take_backfills
from afx.node.outboxes import Outboxes
from afx.node.references import OLD


class Backfills:
    """What is known of each; ``backfill_reader`` drives them."""

    __slots__ = ("_all", "_dirty", "_progressed", "_sent", "_woken")

    def __init__(self, progressed: Callable[[], None]) -> None:
        """``progressed`` is called when there is something to commit."""
        self._progressed = progressed
        self._all: Mapping[Key, Backfill] = NOTHING
        self._dirty: frozenset[Key] = NONE
        """What is to be stored, or removed."""
        self._sent: frozenset[Key] = NONE
        """That of the commit that is under way, or was the last one."""
        self._woken: asyncio.Event | None = None

    def __bool__(self) -> bool:
        return bool(self._all)

    def __iter__(self) -> Iterator[Backfill]:
        return iter(list(self._all.values()))

    @property
    def is_running(self) -> bool:
        """Whether any has something to do."""
        return any(not it.is_over for it in self._all.values())

    def load(self, fields: dict[str, str]) -> None:
        """Take what is stored out of a cursor's fields; raises MalformedPositionError."""
        self._all = take_backfills(fields) or NOTHING

    def get(self, rule: int, destination: int) -> Backfill | None:
        """Return the one of a rule and a destination."""
        return self._all.get((rule, destination))

    def holds(self, rule: int, destination: int) -> bool:
        """Return whether what is new of a rule waits behind its old messages."""
        it = self._all.get((rule, destination))
        return it is not None and it.stage is Stage.READS

    def has_put(self, change: Delivery) -> bool:
        """Return whether a change is of a message that waits behind old ones and is one of them.

        Which ones are is not known of all: of edits and deletes it is enough that it may be
        one, for where there is no copy they change nothing.
        """
        it = self._all.get((change.rule, change.destination))
        if it is None:
            return False
        is_known = (change.source, change.message) in it.doubles
        is_read = it.has_read(change.source, change.message)
        return is_known or (change.op in ("edit", "delete") and is_read)

    def claim(self, send: Delivery, outboxes: Outboxes) -> None:
        """Note that an old message came by itself, too: no end of its backfill takes it out."""
        it = self._all.get((send.rule, send.destination)) if self._all else None
        key = (send.rule, send.source, send.message)
        is_live = send.op == "send" and send.unjudged != OLD
        if it is not None and is_live and key[1:] in (it.waiting or ()):
            outboxes.of(send.destination).change_all(
                lambda of: of._replace(old=of.old and (of.rule, of.source, of.message) != key)
            )

    def add(self, it: Backfill) -> None:
        """Begin one."""
        self._all = {**self._all, (it.rule, it.destination): it}
        self.note_changed(it)

    def remove(self, it: Backfill) -> None:
        """Forget one; what waits behind it is let go by ``Postponed.let_go``."""
        key = (it.rule, it.destination)
        if self._all.get(key) is it:
            self._all = {name: of for name, of in self._all.items() if name != key} or NOTHING
            self.note_changed(it)

    def note_changed(self, it: Backfill) -> None:
        """Let one be stored as it is now, and looked at."""
        self._dirty |= {(it.rule, it.destination)}
        self._progressed()
        self.wake()

    def settled(self, delivery: Delivery, *, is_copied: bool, is_refused: bool) -> None:
        """Note that a message has left its outbox."""
        it = self._all.get((delivery.rule, delivery.destination)) if self._all else None
        message = (delivery.source, delivery.message)
        if it is None or it.waiting is None or message not in it.waiting:
            return
        del it.waiting[message]
        it.refused += is_refused
        it.copied += is_copied
        self.note_changed(it)

    # --- when to look again ----------------------------------------------------------------

    def wake(self) -> None:
        """Let whoever waits look at them."""
        if self._woken is not None:
            self._woken.set()

    async def wait(self, seconds: float) -> None:
        """Wait until something of them has changed, but for so many seconds at most."""
        self._woken = self._woken or asyncio.Event()
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()

    # --- what is to be stored ----------------------------------------------------------------

    def take_fields(self) -> list[str]:
        """Return what has changed since the last call, as field, value, …; "" for none."""
        self._sent, self._dirty = self._dirty, NONE
        return [
            text
            for rule, chat in sorted(self._sent)
            for text in (f"backfill:{rule}:{chat}", self._text((rule, chat)))
        ]

    def _text(self, key: Key) -> str:
        it = self._all.get(key)
        return it.text() if it is not None and it.is_frozen else ""

    def put_back(self) -> None:
        """What was taken last could not be stored."""
        self._dirty |= self._sent

    def mark_all(self) -> None:
        """Let the next commit write all: Redis has lost its data.

        Those that were removed last are removed once more: an older copy may have them.
        """
        self._dirty |= self._sent | frozenset(self._all)
