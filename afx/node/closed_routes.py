"""Which routes of a session are in use, and what is wrong with the others.

One bad chat stops the routes that lead through it and no others: a chat that the account
does not know, or a source that it cannot read. What is for a destination that takes no
messages waits in its outbox; it is tried from time to time. A rule that this node cannot
use judges nothing: what its sources post are dead letters of it (see ``filter_judge``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from afx.cluster.specs import RuleSpec
from afx.empty import NONE, NOTHING
from afx.forwarding import conditions, transforms
from afx.forwarding.alerts import alert_programs
from afx.forwarding.chat_names import has_id
from afx.forwarding.conditions import Test, compile_filter
from afx.forwarding.facts import Facts
from afx.forwarding.options import NO_OPTIONS, Options, compile_options
from afx.forwarding.outputs import is_output_text
from afx.forwarding.rules import ResolvedRule, Route, UnusableError, compile_routes
from afx.forwarding.sizes import LARGEST_OF_SESSION
from afx.forwarding.topics import chat_of, topic_of, twice_named
from afx.forwarding.transforms import Transform, compile_transform
from afx.reasons import TroubleReason
from afx.telegram.leave import Leave

RETRY_SECONDS, RETRY_MAX = 300.0, 1_800.0
"""Until a closed chat is tried again; longer each time that it is in vain."""
_LONGEST = 300
"""Characters of what is wrong with a rule's senders."""
_SHOWN = 5
"""Chats that a rule's trouble names."""


@dataclass(slots=True, frozen=True)
class RuleTrouble:
    """Why a rule does not forward all that it should."""

    reason: TroubleReason
    text: str
    """The chats, and what Telegram says."""


@dataclass(slots=True, frozen=True)
class _Refusal:
    name: str
    pause: float
    """How long it waits, in seconds."""
    until: float
    """A monotonic time, in seconds: then it is tried again; infinite while it is."""


class ClosedRoutes:
    """The chats of one session's rules, and which of them are closed to it."""

    __slots__ = (
        "_capped",
        "_hindered",
        "_ids",
        "_invalid",
        "_learned",
        "_options",
        "_pooled",
        "_refused",
        "_rules",
        "_senders",
        "_tests",
        "_transforms",
        "_twice",
        "_unknown",
        "_unreadable",
        "routes",
    )

    def __init__(self, rules: Sequence[RuleSpec]) -> None:
        self._rules = rules
        self._ids: Mapping[str, int] = NOTHING
        """The marked ids of chats, as rules name them."""
        self._learned: Mapping[str, int] = NOTHING
        """Those that the account knows; the destinations of senders need not be."""
        self._unknown: Mapping[str, str] = NOTHING
        """Chats that the account does not know, and why, where that is known."""
        self._unreadable: Mapping[int, str] = NOTHING
        self._refused: Mapping[int, _Refusal] = NOTHING
        self._tests: Mapping[int, Test] = NOTHING
        self._transforms: Mapping[int, Transform] = NOTHING
        self._options: Mapping[int, Options] = NOTHING
        self._capped: Mapping[int, str] = NOTHING
        """Rules of which messages wait because of caps, and until when."""
        self._hindered: Mapping[int, str] = NOTHING
        """Destinations to which sends keep failing, and why."""
        self._senders: Mapping[int, str] = NOTHING
        """Rules of which some senders cannot be used, and why."""
        self._invalid: Mapping[int, str] = NOTHING
        """Rules that this node cannot use, and why."""
        self._pooled: frozenset[int] = NONE
        """Rules that have senders, or had some."""
        self._twice: Mapping[int, str] = NOTHING
        """Rules with several destinations in one forum, and which."""
        self._compile()
        self._ids = self._given() or NOTHING
        self.routes: Mapping[int, tuple[Route, ...]] = {}
        """All routes whose chats are known, by source."""

    def _compile(self) -> None:
        """Make the rules' filters, transforms and options ready to be used."""
        tests: dict[int, Test] = {}
        changes: dict[int, Transform] = {}
        options: dict[int, Options] = {}
        invalid: dict[int, str] = {}
        room = LARGEST_OF_SESSION
        for it in self._rules:
            try:
                if it.filter or it.transform or "alerts" in it.options:
                    room -= conditions.programs(it.filter) + transforms.programs(it.transform)
                    room -= alert_programs(it.options)
                    if room < 0:
                        raise ValueError("the session's regular expressions are too large")
                if it.options:
                    options[it.id] = compile_options(it.options)
                if it.transform:
                    changes[it.id] = compile_transform(it.transform)
                if it.filter:
                    tests[it.id] = compile_filter(it.filter).test
            except (ValueError, LookupError, TypeError) as error:
                invalid[it.id] = str(error)
        self._tests, self._transforms = tests or NOTHING, changes or NOTHING
        self._options, self._invalid = options or NOTHING, invalid or NOTHING
        self._pooled |= {it for it, its in options.items() if its.senders}

    def renew(self, rules: Iterable[RuleSpec]) -> Sequence[RuleSpec]:
        """Take what these rules judge by, change and do; returns the rules as they are used.

        One that is not among them is gone, and so are chats that one does not name any more.
        One that names other chats stays as it is until these are looked up (``added``).
        """
        given = {it.id: it for it in rules}
        self._rules = [
            given[it.id] if _names_no_more(it, given[it.id]) else it
            for it in self._rules
            if it.id in given
        ]
        self._compile()
        self.note_known({})
        return self._rules

    def added(self, rules: Iterable[RuleSpec]) -> tuple[RuleSpec, ...]:
        """Return those of some rules that are new here, or name other chats than before."""
        before = {it.id: it for it in self._rules}
        return tuple(
            it for it in rules if it.id not in before or not _names_no_more(before[it.id], it)
        )

    def add(self, rules: Iterable[RuleSpec]) -> None:
        """Use these rules as well, or instead of those that named other chats."""
        self._rules = merged(self._rules, rules)
        self._compile()

    def unnamed(self, rules: Iterable[RuleSpec]) -> list[str]:
        """Return the chats of some rules that the account is not known to know."""
        chats = (it for rule in rules for it in (*rule.sources, *_looked_up(rule)))
        return [it for it in dict.fromkeys(chats) if it not in self._learned]

    # --- what is known -------------------------------------------------------------------

    def note_known(self, ids: Mapping[str, int]) -> None:
        """Note the marked ids of chats that the account knows."""
        self._learned = {**self._learned, **ids} or NOTHING
        self._ids = {**self._given(), **self._learned} or NOTHING
        self.routes = compile_routes(map(self._resolved, self._rules))
        named = ((it.id, twice_named(it.destinations, self._ids)) for it in self._rules)
        self._twice = {rule: chat for rule, chat in named if chat} or NOTHING

    def note_unknown(self, why: Mapping[str, str]) -> None:
        """Note why the account does not know some chats."""
        self._unknown = dict(why) or NOTHING

    def _given(self) -> dict[str, int]:
        """Return the destinations to which only senders post, as far as rules tell their ids.

        With those to which only senders have posted: what is forwarded meanwhile waits for them.
        """
        return {
            it: int(chat_of(it))
            for rule in self._rules
            if rule.id in self._pooled
            for it in rule.destinations
            if it not in rule.sources and has_id(it) and not is_output_text(it)
        }

    def note_unreadable(self, sources: Mapping[int, str]) -> None:
        """Note sources that cannot be read, and why."""
        self._unreadable = {**self._unreadable, **sources} or NOTHING

    def note_readable(self, sources: Iterable[int]) -> None:
        """Note sources that can be read again."""
        again = set(sources)
        left = {it: why for it, why in self._unreadable.items() if it not in again}
        self._unreadable = left or NOTHING

    def note_refused(self, destination: int, name: str, now: float, jitter: float) -> None:
        """Note that a destination takes no messages; ``now`` is monotonic, in seconds.

        It is due to be tried again after a pause, of which ``jitter`` is the factor.
        """
        before = self._refused.get(destination)
        pause = min(RETRY_MAX, before.pause * 2) if before else RETRY_SECONDS
        refusal = _Refusal(name, pause, now + pause * jitter)
        self._refused = {**self._refused, destination: refusal}

    def note_works(self, destination: int) -> None:
        """Note that a destination takes messages."""
        left = {it: why for it, why in self._refused.items() if it != destination}
        self._refused = left or NOTHING

    def note_capped(self, rule: int, text: str) -> None:
        """Note until when messages of a rule wait because of its caps; "" for none."""
        capped = {**self._capped, rule: text}
        self._capped = {it: why for it, why in capped.items() if why} or NOTHING

    def note_senders(self, rule: int, text: str) -> None:
        """Note what is wrong with a rule's senders; "" for nothing."""
        wrong = {**self._senders, rule: text}
        self._senders = {it: why for it, why in wrong.items() if why} or NOTHING

    def note_hindered(self, destination: int, text: str) -> None:
        """Note why sends to a destination keep failing; "" when they do not any more."""
        hindered = {**self._hindered, destination: text}
        self._hindered = {it: why for it, why in hindered.items() if why} or NOTHING

    def take_due(self, now: float) -> list[int]:
        """Return the closed destinations that are to be tried now, each once."""
        due = [it for it, refusal in self._refused.items() if refusal.until <= now]
        tried = {it: replace(self._refused[it], until=math.inf) for it in due}
        self._refused = {**self._refused, **tried} or NOTHING
        return due

    # --- what follows ----------------------------------------------------------------------

    @property
    def known(self) -> set[int]:
        """All chats that the account knows."""
        return set(self._ids.values())

    @property
    def unknown(self) -> list[str]:
        """The chats that the account does not know, as rules name them."""
        chats = (it for rule in self._rules for it in (*rule.sources, *rule.destinations))
        return [it for it in dict.fromkeys(chats) if it not in self._ids]

    def leave(self, added: Iterable[RuleSpec] = ()) -> Leave:
        """Return what these rules, and some more, let the account do for their chats."""
        joins: set[str] = set()
        wary: set[str] = set()
        strangers: set[str] = set()
        for it in (*self._rules, *added):
            joins.update((*it.sources, *it.destinations) if it.options.get("join") is True else ())
            allowed = it.options.get("strangers") is True
            chats = (to for to in it.destinations if not is_output_text(to))
            (strangers if allowed else wary).update(chats)
        return Leave(frozenset(joins), frozenset(wary - strangers))

    @property
    def unlearned(self) -> list[str]:
        """The destinations to which only senders have posted, and the account is to post now."""
        return [
            it
            for rule in self._rules
            if rule.id in self._pooled and not self._options.get(rule.id, NO_OPTIONS).senders
            for it in rule.destinations
            if it in self._ids and it not in self._learned and not is_output_text(it)
        ]

    @property
    def rules(self) -> frozenset[int]:
        """The rules that there are."""
        return frozenset(it.id for it in self._rules)

    @property
    def sources(self) -> frozenset[int]:
        """The known chats that rules name as sources, whether they have routes or not."""
        return frozenset(
            self._ids[it] for rule in self._rules for it in rule.sources if it in self._ids
        )

    @property
    def unreadable(self) -> set[int]:
        """The sources that cannot be read."""
        return set(self._unreadable)

    @property
    def incomplete(self) -> Mapping[int, ResolvedRule | None]:
        """The rules that have no routes now, or not all: chats are unknown; None: unusable here."""
        unknown = set(self.unknown)
        return {
            it.id: None if it.id in self._invalid else self._resolved(it)
            for it in self._rules
            if it.id in self._invalid or unknown.intersection((*it.sources, *it.destinations))
        }

    @property
    def in_use(self) -> Mapping[int, tuple[Route, ...]]:
        """The routes by which to forward now."""
        if not self._unreadable:
            return self.routes
        return {it: routes for it, routes in self.routes.items() if it not in self._unreadable}

    def troubles(self) -> dict[int, RuleTrouble]:
        """Return what is wrong with rules, by their ids; nothing for those that work."""
        noted = (self._unreadable, self._refused, self._invalid, self._hindered, self._capped)
        if not any((*noted, self._twice, self._senders, self.unknown)):
            return {}
        return {it.id: found for it in self._rules if (found := self._trouble(it)) is not None}

    def _resolved(self, rule: RuleSpec) -> ResolvedRule:
        wrong = self._invalid.get(rule.id)
        return ResolvedRule(
            rule.id,
            tuple(self._ids[it] for it in rule.sources if it in self._ids),
            tuple(self._ids[it] for it in rule.destinations if it in self._ids),
            "forward" if rule.mode == "forward" else "copy",
            self._tests.get(rule.id) if wrong is None else _unusable(wrong),
            self._transforms.get(rule.id),
            # A copy that is edited without the rule's transforms would be another one.
            rule.sync if wrong is None else (),
            self._options.get(rule.id, NO_OPTIONS),
            source_topics=_source_topics(rule.sources, self._ids),
            topics=_topics(rule.destinations, self._ids),
        )

    def _trouble(self, rule: RuleSpec) -> RuleTrouble | None:
        if rule.id in self._invalid:
            return RuleTrouble(TroubleReason.RULE_INVALID, self._invalid[rule.id])
        chats = (*rule.sources, *rule.destinations)
        wrong = [
            (_why_unknown(it), f"{it}: {self._unknown[it]}" if it in self._unknown else it)
            for it in chats
            if it not in self._ids
        ]
        sources = {self._ids[it]: it for it in rule.sources if it in self._ids}
        destinations = {self._ids[it]: it for it in rule.destinations if it in self._ids}
        wrong += [
            (TroubleReason.SOURCE_UNREADABLE, f"{name}: {self._unreadable[chat]}")
            for chat, name in sources.items()
            if chat in self._unreadable
        ]
        refused = {
            f"{destinations[destination]}: {it.name}"
            for destination, it in self._refused.items()
            if destination in destinations
        }
        wrong += [(TroubleReason.DESTINATION_CLOSED, it) for it in sorted(refused)]
        wrong += [
            (TroubleReason.SEND_FAILED, text)
            for destination, text in self._hindered.items()
            if destination in destinations
        ]
        if not wrong and (chat := self._twice.get(rule.id)):
            text = f"it names several destinations in {chat}; copies go to the first one"
            return RuleTrouble(TroubleReason.RULE_INVALID, text)
        if not wrong and (text := self._senders.get(rule.id, "")):
            return RuleTrouble(TroubleReason.SENDER_UNAVAILABLE, text[:_LONGEST])
        if not wrong:
            text = self._capped.get(rule.id, "")
            return RuleTrouble(TroubleReason.CAP_REACHED, text) if text else None
        reason = wrong[0][0]  # the first one is named, with its own chats
        names = list(dict.fromkeys(text for its, text in wrong if its is reason))
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return RuleTrouble(reason, ", ".join(names[:_SHOWN]) + more)


def _looked_up(rule: RuleSpec) -> list[str]:
    """Return the destinations that the account has to know: those of senders it need not."""
    return [
        it
        for it in rule.destinations
        if "senders" not in rule.options or not has_id(it) or is_output_text(it)
    ]


def merged(rules: Iterable[RuleSpec], others: Iterable[RuleSpec]) -> list[RuleSpec]:
    """Return two lists of rules as one, in the order of their ids; ``others`` count more."""
    by_id = {it.id: it for it in (*rules, *others)}
    return [by_id[it] for it in sorted(by_id)]


def _names_no_more(before: RuleSpec, rule: RuleSpec) -> bool:
    """Return whether a rule names no chats beyond those that it named."""
    return set(rule.sources) <= set(before.sources) and set(rule.destinations) <= set(
        before.destinations
    )


def _source_topics(sources: Iterable[str], ids: Mapping[str, int]) -> dict[int, frozenset[int]]:
    """Return the topics of which a rule takes messages; a source without one stands for all."""
    found: dict[int, set[int]] = {}
    for it in sources:
        if it in ids:
            found.setdefault(ids[it], set()).add(topic_of(it))
    return {chat: frozenset(them) for chat, them in found.items() if 0 not in them}


def _topics(destinations: Iterable[str], ids: Mapping[str, int]) -> dict[int, int]:
    """Return the topic of each destination; the first one that a rule names in a chat counts."""
    found: dict[int, int] = {}
    for it in destinations:
        if it in ids:
            found.setdefault(ids[it], topic_of(it))
    return {chat: topic for chat, topic in found.items() if topic}


def _why_unknown(chat: str) -> TroubleReason:
    if is_output_text(chat):
        return TroubleReason.OUTPUT_UNAVAILABLE
    return TroubleReason.CHAT_UNKNOWN


def _unusable(reason: str) -> Test:
    def test(_: Facts) -> bool:
        raise UnusableError(f"this node cannot use its rule: {reason}")

    return test
