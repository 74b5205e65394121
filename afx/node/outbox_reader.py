"""Fetches the messages that an outbox refers to, when they are to be sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from telethon import errors

from afx.forwarding.pipeline import Delivery, Incoming, deliveries
from afx.forwarding.rules import ResolvedRule, Route
from afx.node.message_source import UnknownChatError
from afx.node.outbox import Reference
from afx.reasons import DeadReason
from afx.telegram.errors import closes_chat, error_name, refuses_chat
from afx.telegram.facts import TelegramFacts
from afx.telegram.messages import incoming
from afx.telegram.sender import Outcome

Linked = Callable[[Sequence[tuple[Incoming, Route]]], Awaitable[list[int]]]
"""Returns the copies that earlier runs have made of messages by routes; 0 for none."""
Read = Callable[[int, Sequence[int]], Awaitable[list[Any]]]
"""Returns the messages of a chat by their ids (see ``MessageSource.fetch``)."""
Incomplete = Mapping[int, ResolvedRule | None]
"""Rules of which not all chats are known, by id; None: this node cannot use the rule."""
Found = list[tuple[Delivery, Outcome | None]]


async def fetch(
    read: Read,
    routes: Mapping[int, tuple[Route, ...]],
    incomplete: Incomplete,
    linked: Linked,
    destination: int,
    references: Sequence[Reference],
) -> Found:
    """Return the deliveries of some references, and the outcome of those not to be sent.

    ``failed`` is the outcome of what cannot be read now; ``incomplete`` are rules of which
    not all chats are known: what waits for them is sent as it was to be. Raises what ``read``
    raises when Telegram gives no answer.
    """
    chosen = [_route(routes, incomplete, destination, it) for it in references]
    stubs = [Incoming(it.source, it.message, "", (), False) for it in references]
    # A copy counts, whatever has become of its source since.
    copies = await linked([(stub, route) for stub, (route, _) in zip(stubs, chosen, strict=True)])
    wanted = [
        it
        for it, (_, unsent), copy in zip(references, chosen, copies, strict=True)
        if unsent is None and not copy
    ]
    contents, refused = await _contents(read, wanted)
    found: Found = []
    for it, stub, (route, unsent), copy in zip(references, stubs, chosen, copies, strict=True):
        message = contents.get((it.source, it.message))
        outcome = unsent
        if copy:
            outcome = Outcome("known", copy)
        elif unsent is not None:
            pass
        elif it.source in refused:
            outcome = refused[it.source]
        elif message is None:
            outcome = Outcome(
                "refused",
                reason="it was deleted before it could be sent",
                dead=DeadReason.MESSAGE_GONE,
            )
        facts_of = TelegramFacts if outcome is None else None
        [delivery] = deliveries(message or stub, [route], facts_of)
        if delivery.error:
            outcome = Outcome("refused", reason=delivery.error)
        found.append((delivery, outcome))
    return found


def _route(
    routes: Mapping[int, tuple[Route, ...]],
    incomplete: Incomplete,
    destination: int,
    it: Reference,
) -> tuple[Route, Outcome | None]:
    """Return a reference's route, and the outcome where it is not in use."""
    for route in routes.get(it.source, ()):
        if route.rule == it.rule and route.destination == destination:
            return route, None
    if it.rule not in incomplete:
        reason, dead = "its rule does not forward there any more", DeadReason.RULE_CHANGED
        return Route(it.rule, destination, it.mode), Outcome("refused", reason=reason, dead=dead)
    rule = incomplete[it.rule]
    if rule is None:
        reason, dead = "this node cannot use its rule", DeadReason.RULE_CHANGED
        return Route(it.rule, destination, it.mode), Outcome("failed", reason=reason, dead=dead)
    return Route(it.rule, destination, it.mode, transform=rule.transform), None


async def _contents(
    read: Read, references: Sequence[Reference]
) -> tuple[dict[tuple[int, int], Incoming], dict[int, Outcome]]:
    """Return (messages by chat and id, why sources cannot be read now)."""
    wanted: dict[int, dict[int, None]] = {}
    for it in references:
        wanted.setdefault(it.source, {})[it.message] = None
    contents: dict[tuple[int, int], Incoming] = {}
    refused: dict[int, Outcome] = {}
    for source, ids in wanted.items():
        try:
            found = await read(source, list(ids))
        except errors.RPCError as error:
            if not refuses_chat(error):
                raise
            refused[source] = refusal(error)
            continue
        except UnknownChatError as error:
            unreadable = DeadReason.SOURCE_UNREADABLE
            refused[source] = Outcome("failed", reason=str(error), dead=unreadable)
            continue
        for message in map(incoming, found):
            if message is not None:
                contents[source, message.id] = message
    return contents, refused


def refusal(error: errors.RPCError) -> Outcome:
    """Return the outcome of messages that a refused request was to read."""
    name = error_name(error)
    of_chat = closes_chat(name)
    dead = DeadReason.SOURCE_UNREADABLE if of_chat else DeadReason.MESSAGE_UNREADABLE
    return Outcome("failed", reason=name, dead=dead)
