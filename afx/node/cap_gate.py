"""Where a rule's caps hold up what is to be sent, and who is told of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from afx.empty import NOTHING
from afx.forwarding.options import Options
from afx.forwarding.pipeline import Incoming
from afx.node.cap_counts import CapCounts
from afx.node.outbox import Outbox
from afx.telegram.facts import TelegramFacts


class CapGate:
    """The caps of one session's rules, before the queues of what is sent later."""

    __slots__ = ("_albums", "_held", "_now", "_tell", "counts")

    def __init__(
        self,
        now: Callable[[], float],
        tell: Callable[[int, str], None],
        waiting: Callable[[int, int], int],
    ) -> None:
        """``now`` is the wall clock; ``tell`` takes a rule, and until when it is held up.

        ``waiting`` is that of ``CapCounts``.
        """
        self._now = now
        self._tell = tell
        self.counts = CapCounts(now, waiting)
        self._held: Mapping[int, str] = NOTHING
        """Rules of which messages wait because of caps, and until when."""
        self._albums: Mapping[tuple[str, int, int], tuple[int, bool]] = NOTHING
        """Queue and source → the album of the last message, and whether it went to its lane at
        once; only of rules with caps."""

    def use(self, options: Mapping[int, Options], incomplete: Iterable[int]) -> None:
        """Know the options of all rules; those of ``incomplete`` ones may not be known now."""
        caps = {rule: it.caps for rule, it in options.items() if it.caps}
        self.counts.use_caps(caps, incomplete)

    def joins(self, queue: tuple[str, int], message: Incoming) -> bool:
        """Return whether a message is of the album of the one before it of its source."""
        album, key = TelegramFacts(message).album, (*queue, message.chat)
        before = self._albums.get(key, (0, False))[0]
        if album != before:
            self._albums = {**self._albums, key: (album, False)}
        return album != 0 and album == before

    def note_given(self, queue: tuple[str, int], message: Incoming) -> None:
        """A message goes to its lane at once, and so the rest of its album is to follow."""
        key = (*queue, message.chat)
        if key in self._albums:
            self._albums = {**self._albums, key: (self._albums[key][0], True)}

    def follows(self, queue: tuple[str, int], message: Incoming) -> bool:
        """Return whether the item before that of its album went to its lane at once."""
        return self._albums.get((*queue, message.chat), (0, False))[1]

    def until(self, rule: int, waiting: Outbox) -> float:
        """Return when a rule's caps let its first delivery pass, in Unix seconds; 0: at once.

        An album passes as a whole, however much is left of a cap.
        """
        first = waiting.first_reference
        is_free = first.joined or first.op != "send"
        return 0.0 if is_free else self.counts.closed_until(rule, waiting.destination)

    def tell_held(self, queues: Iterable[tuple[int, Outbox]]) -> None:
        """Tell of which rules messages wait because of caps, where that has changed.

        ``queues`` are of rules, and not empty.
        """
        now, held = self._now(), dict[int, str]()
        for rule, waiting in queues if self.counts else ():
            if waiting.first_due <= now and self.until(rule, waiting) > now:
                held.setdefault(rule, self.counts.reached(rule, waiting.destination))
        before, self._held = self._held, held or NOTHING
        for rule in {*before, *held}:
            if before.get(rule) != held.get(rule):
                self._tell(rule, held.get(rule, ""))
