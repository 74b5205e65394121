"""Rules as a table: source chat → routes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from afx.errors import UsageError, printable
from afx.forwarding.chat_names import ME, invite_reference
from afx.forwarding.conditions import Test
from afx.forwarding.facts import Facts
from afx.forwarding.options import NO_OPTIONS, Options
from afx.forwarding.outputs import is_output_text, target_of
from afx.forwarding.topics import message_topic, topic_reference
from afx.forwarding.transforms import Transform

Mode = Literal["copy", "forward"]
_NO_TOPICS: frozenset[int] = frozenset()
_NOTHING: Mapping[int, Any] = MappingProxyType({})


class UnusableError(Exception):
    """A filter cannot judge anything; the text says why."""


@dataclass(slots=True, frozen=True)
class Route:
    """One destination of one rule; chats are marked ids."""

    rule: int
    destination: int
    mode: Mode
    test: Test | None = field(default=None, compare=False)
    """The rule's filter; None takes all messages."""
    transform: Transform | None = field(default=None, compare=False)
    sync: tuple[str, ...] = field(default=(), compare=False)
    """What is followed in its copies (see ``changes``)."""
    unjudged: str = field(default="", compare=False)
    """Why the filter could not judge the message that this route is of; empty when it could."""
    options: Options = field(default=NO_OPTIONS, compare=False)
    """What else the rule does."""
    topic: int = field(default=0, compare=False)
    """The topic of the destination that copies go to; 0 for none."""
    topics: frozenset[int] = field(default=_NO_TOPICS, compare=False)
    """The topics of its source, of which it takes messages; none: it takes all."""


Routes = Mapping[int, tuple[Route, ...]]
"""source → its routes."""


@dataclass(slots=True, frozen=True)
class ResolvedRule:
    """A rule whose chats are resolved to marked ids."""

    id: int
    sources: tuple[int, ...]
    destinations: tuple[int, ...]
    mode: Mode
    test: Test | None = None
    transform: Transform | None = None
    sync: tuple[str, ...] = ()
    options: Options = NO_OPTIONS
    source_topics: Mapping[int, frozenset[int]] = field(default_factory=lambda: _NOTHING)
    """Source → the topics of which it takes messages; those of which it takes all are left out."""
    topics: Mapping[int, int] = field(default_factory=lambda: _NOTHING)
    """Destination → the topic that copies go to; those without are left out."""

    def route(self, destination: int, source: int = 0) -> Route:
        """Return its route to a destination; without a ``source`` that from any topic."""
        return Route(
            self.id,
            destination,
            self.mode,
            self.test,
            self.transform,
            () if self.options.digest else self.sync,  # sent digests are not changed
            options=self.options,
            topic=self.topics.get(destination, 0),
            topics=self.source_topics.get(source, _NO_TOPICS),
        )

    def leads(self, source: int, destination: int) -> bool:
        """Return whether it copies from a source to a destination.

        A chat is never copied to itself, but a topic to another topic of its forum is.
        """
        if source != destination:
            return True
        topic, topics = self.topics.get(destination, 0), self.source_topics.get(source)
        return bool(topic and topics and topic not in topics)


def chat_reference(text: str) -> str:
    """Return a chat as rules store it: ``@name`` or a marked id, with ``/TOPIC`` behind it or not,
    or ``+HASH`` of an invite link, or ``me``.

    Links of t.me are accepted. Raises UsageError for a text that names no chat.
    """
    if invite := invite_reference(text):
        return invite
    if text.strip().casefold() == ME:
        return ME
    if topic := topic_reference(re.sub(r"^(https?://)?t\.me/(?!c/)", "@", text.strip())):
        return topic
    name = re.sub(r"^(https?://)?t\.me/", "@", text.strip(), flags=re.ASCII)
    if re.fullmatch(r"@[A-Za-z][A-Za-z0-9_]{3,31}", name, re.ASCII):
        return name
    if re.fullmatch(r"-?[1-9]\d{0,18}", name, re.ASCII):
        return name
    raise UsageError(
        f"'{printable(text)}' names no chat; give an @name, an invite link, an id such as "
        "-1001234567890, or me."
    )


def destination_reference(text: str) -> str:
    """Return a destination as rules store it: a chat, or an output (see ``outputs``).

    Raises UsageError for a text that names neither.
    """
    if is_output_text(text.strip()):
        target_of(text.strip())
        return text.strip()
    return chat_reference(text)


def compile_routes(rules: Iterable[ResolvedRule]) -> dict[int, tuple[Route, ...]]:
    """Return the routes of each source chat.

    A destination that several rules name gets a copy for each of them; a chat
    is never forwarded to itself, but to another topic of it.
    """
    table: dict[int, list[Route]] = defaultdict(list)
    for rule in rules:
        for chat in dict.fromkeys(rule.sources):
            table[chat] += [
                rule.route(destination, chat)
                for destination in dict.fromkeys(rule.destinations)
                if rule.leads(chat, destination)
            ]
    return {chat: tuple(routes) for chat, routes in table.items() if routes}


def loops(routes: Routes) -> set[int]:
    """Return the chats that are both a source and a destination."""
    return {route.destination for them in routes.values() for route in them} & set(routes)


def leading_to(routes: Routes, destination: int) -> set[int]:
    """Return the rules that lead to a chat; all of them for 0, which is no chat."""
    return {
        it.rule for them in routes.values() for it in them if destination in (0, it.destination)
    }


def in_topic(raw: Any, routes: Sequence[Route]) -> Sequence[Route]:
    """Return those of the routes of one of Telegram's messages whose topics it is in."""
    if not any(it.topics for it in routes):
        return routes
    topic = message_topic(raw)
    return tuple(it for it in routes if not it.topics or topic in it.topics)


def filtered(routes: Routes) -> frozenset[int]:
    """Return the sources of which a route has a filter."""
    return frozenset(
        chat for chat, them in routes.items() if any(it.test is not None for it in them)
    )


def accepting(facts: Facts, routes: Iterable[Route]) -> tuple[Route, ...]:
    """Return the routes whose filters accept a message; each rule's is asked once.

    The routes of a filter that fails, which none should, are returned with the reason
    (``unjudged``): they neither take the message nor refuse it.
    """
    verdicts: dict[int, bool | str] = {}
    found = []
    for it in routes:
        if it.test is not None:
            verdict = verdicts.get(it.rule)
            if verdict is None:
                try:
                    verdict = bool(it.test(facts))
                except UnusableError as error:
                    verdict = str(error)
                except Exception as error:
                    verdict = f"its filter failed: {type(error).__name__}"
                verdicts[it.rule] = verdict
            if isinstance(verdict, str):
                found.append(replace(it, unjudged=verdict))
                continue
            if not verdict:
                continue
        found.append(it)
    return tuple(found)
