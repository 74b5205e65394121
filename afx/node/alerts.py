"""Alerts: which messages of a session's sources webhooks are told of, forwarded or not.

They are reported in the call that moves the cursor past their messages; the leader tells of
each message of a rule once, so what is replayed raises no second alert.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from afx.empty import NOTHING
from afx.forwarding.alerts import Alert
from afx.forwarding.pipeline import Incoming
from afx.forwarding.rules import Route, Routes
from afx.forwarding.templates import link_to
from afx.telegram.contents import content_digest
from afx.telegram.facts import TelegramFacts

_HOUR = 3_600
_KEPT = 64
"""Alerts that are reported once more when Redis has lost its data."""
_MOST_KNOWN = 512
"""Contents of which a session remembers that they have raised an alert."""

log = structlog.get_logger()


@dataclass(slots=True, frozen=True)
class AlertOf:
    """A message that webhooks are told of."""

    rule: int
    source: int
    message: int
    link: str
    left_out: int
    """How many alerts of the rule were left out since its last one, for there were too many."""


@dataclass(slots=True)
class _Hour:
    """The alerts of one rule in the present hour."""

    number: int = -1
    count: int = 0
    left_out: int = 0


class Alerts:
    """The alerts of one session, until they are taken for a commit."""

    __slots__ = (
        "_entries",
        "_hours",
        "_kept",
        "_known",
        "_now",
        "_progressed",
        "_rules",
        "_sent",
    )

    def __init__(self, now: Callable[[], float], progressed: Callable[[], None]) -> None:
        """``now`` is the wall clock; ``progressed`` is told when there is something to commit."""
        self._now = now
        self._progressed = progressed
        self._rules: Mapping[int, Alert] = NOTHING
        self._hours: Mapping[int, _Hour] = NOTHING
        self._known: OrderedDict[tuple[int, object], float] | None = None
        self._entries: list[AlertOf] = []
        self._sent: Sequence[AlertOf] = ()
        self._kept: Sequence[tuple[float, AlertOf]] = ()

    def use_routes(self, routes: Routes) -> None:
        """Know which rules have alerts."""
        found = {
            it.rule: it.options.alerts
            for them in routes.values()
            for it in them
            if it.options.alerts is not None
        }
        self._rules = found or NOTHING
        self._hours = {rule: self._hours.get(rule, _Hour()) for rule in found} or NOTHING

    def note(self, message: Incoming, routes: Sequence[Route]) -> None:
        """Raise the alerts of a message that has come; what a rule forwards does not matter."""
        if not self._rules:
            return
        rules = dict.fromkeys(it.rule for it in routes if it.rule in self._rules)
        if not rules:
            return
        facts = TelegramFacts(message)
        for rule in rules:
            try:
                is_wanted = self._rules[rule].test(facts)
            except Exception as error:
                # A condition that fails on one message must not hold up forwarding.
                log.warning("alert_not_judged", rule=rule, error=type(error).__name__)
                continue
            if is_wanted and not self._is_known(rule, message):
                self._raise(rule, message)

    def _raise(self, rule: int, message: Incoming) -> None:
        hour, number = self._hours[rule], int(self._now() // _HOUR)
        if hour.number != number:
            hour.number, hour.count = number, 0
        if hour.count >= self._rules[rule].per_hour:
            hour.left_out += 1
            return
        hour.count += 1
        link = link_to(message.chat, message.id)
        self._entries.append(AlertOf(rule, message.chat, message.id, link, hour.left_out))
        hour.left_out = 0
        self._progressed()

    def _is_known(self, rule: int, message: Incoming) -> bool:
        """Return whether the same content, or its album, has raised an alert in the last hour."""
        album = getattr(message.raw, "grouped_id", None)
        content: object = album or content_digest(message) or (message.chat, message.id)
        if self._known is None:
            self._known = OrderedDict()
        now, key = self._now(), (rule, content)
        before = self._known.pop(key, None)
        is_known = before is not None and abs(now - before) < _HOUR
        self._known[key] = before if is_known and before is not None else now
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return is_known

    # --- what is to be stored --------------------------------------------------------------

    def take(self) -> Sequence[AlertOf]:
        """Return what has come since the last call."""
        self._sent, self._entries = self._entries, []
        return self._sent

    def put_back(self) -> None:
        """What was taken last could not be stored."""
        self._entries = [*self._sent, *self._entries]
        self._sent = ()

    def note_committed(self) -> None:
        """Keep the last ones: the leader may not have read them yet."""
        if self._sent:
            now = self._now()
            self._kept = [*self._kept, *((now, it) for it in self._sent)][-_KEPT:]
        self._sent = ()

    def mark_all(self) -> None:
        """Let the next commit report the last ones once more: Redis has lost its data."""
        since = self._now() - _HOUR
        kept = [it for at, it in self._kept if at >= since]
        self._entries, self._kept = [*kept, *self._entries], ()
