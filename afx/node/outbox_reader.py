"""Fetches the messages that an outbox refers to, when they are to be sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from telethon import errors

from afx.cluster.links import CopyRoute
from afx.forwarding.changes import FOLLOWED
from afx.forwarding.pipeline import Delivery, Incoming, deliveries, may_follow
from afx.forwarding.rules import ResolvedRule, Route
from afx.node.followed import edit_of
from afx.node.gone_messages import Sent, without_source
from afx.node.message_source import UnknownChatError
from afx.node.references import Reference
from afx.node.snapshots import keeps_content
from afx.reasons import DeadReason
from afx.telegram.change_sender import KNOWN
from afx.telegram.errors import closes_chat, error_name, refuses_chat
from afx.telegram.facts import TelegramFacts
from afx.telegram.messages import incoming
from afx.telegram.sender import Outcome

RULE_GONE = Outcome(
    "refused", reason="its rule does not forward there any more", dead=DeadReason.RULE_CHANGED
)
_GONE = Outcome(
    "refused", reason="it was deleted before it could be sent", dead=DeadReason.MESSAGE_GONE
)

_UNREAD = ("delete", "topic")
"""What is made without reading its message."""
_LEFT = replace(KNOWN, dead=DeadReason.MESSAGE_GONE)
"""The same, where that is no dead letter."""

NOT_TAKEN = Outcome("known", reason="its rule does not take it")
"""What the rule's filter does not accept, or what is a duplicate."""

LEFT_OUT = (NOT_TAKEN, _LEFT)
"""The outcomes of messages of which no copy is made."""


class Linked(Protocol):
    """Returns the copies of messages by routes; 0 for none (see ``Admission.linked``)."""

    async def __call__(
        self, items: Sequence[tuple[CopyRoute, int]], *, complete: bool
    ) -> list[int]:
        """``complete``: wait for links that Redis has lost to come back."""


Read = Callable[[int, Sequence[int]], Awaitable[list[Any]]]
"""Returns the messages of a chat by their ids (see ``MessageSource.fetch``)."""
Judge = Callable[[Incoming, Sequence[Route]], Awaitable[Sequence[Route]]]
"""Returns the routes whose filters take a message."""
Kept = Callable[[int, int], Incoming | None]
"""Returns a message of a chat as it came, if that was stored (see ``snapshots``)."""
Message = tuple[int, int, int]
"""A rule, a source, and a message of it."""
Incomplete = Mapping[int, ResolvedRule | None]
"""Rules of which not all chats are known, by id; None: this node cannot use the rule."""
Found = list[tuple[Delivery, Outcome | None]]


async def fetch(
    read: Read,
    routes: Mapping[int, tuple[Route, ...]],
    incomplete: Incomplete,
    linked: Linked,
    judge: Judge,
    kept: Kept,
    destination: int,
    references: Sequence[Reference],
) -> Found:
    """Return the deliveries of some references, and the outcome of those not to be sent.

    ``failed`` is the outcome of what cannot be read now; ``incomplete`` are rules of which
    not all chats are known: what waits for them is sent as it was to be. Raises what ``read``
    raises when Telegram gives no answer.
    """
    chosen = [_route(routes, incomplete, destination, it) for it in references]
    # A copy counts, whatever has become of its source since.
    copies = await linked(
        [(CopyRoute(it.rule, it.source, destination), it.message) for it in references],
        # An old one may have been copied long ago, when Telegram has forgotten its random id.
        complete=any(it.op != "send" or it.judge for it in references),
    )
    # The copy that a change is of may be made by what is before it here.
    sent = {(it.rule, it.source, it.message) for it in references if it.op == "send"}
    items = [
        _Item(it, route, _before(it, route, unsent, copy, sent), copy)
        for it, (route, unsent), copy in zip(references, chosen, copies, strict=True)
    ]
    wanted = [it.reference for it in items if it.outcome is None and it.reference.op not in _UNREAD]
    contents, refused = await _contents(read, wanted)
    found: Found = []
    sends: list[Sent] = []
    for item in items:
        it, outcome = item.reference, item.outcome
        message = contents.get((it.source, it.message))
        is_gone = outcome is None and message is None and it.op == "send"
        if is_gone and keeps_content(item.route):
            message = kept(it.source, it.message)
        if outcome is None and message is None and it.source in refused and it.op not in _UNREAD:
            outcome = refused[it.source]
        if it.op == "send":
            found.append(await _send(item, outcome, message, judge))
            if message is not None and found[-1][1] is None and not it.part:
                sends.append(Sent(len(found) - 1, found[-1][0], message, is_gone))
        else:
            found.append(_change(item, outcome, message))
    for place in without_source(sends):
        delivery = found[place][0]
        found[place] = (delivery, refused.get(delivery.source, _GONE))
    return found


class _Item(NamedTuple):
    reference: Reference
    route: Route
    outcome: Outcome | None
    """What is known before its message is read."""
    copy: int


def _before(
    it: Reference, route: Route, unsent: Outcome | None, copy: int, sent: Collection[Message]
) -> Outcome | None:
    """Return what is known of a reference before its message is read.

    ``sent`` are the messages that are sent together with it.
    """
    if it.op == "send":
        return Outcome("known", copy) if copy else unsent
    if unsent is not None and unsent.result == "failed":
        return unsent
    if it.op == "topic":  # it may have none yet
        return None if unsent is None and "topics" in route.sync else KNOWN
    # Without a copy there is nothing to change.
    if unsent is not None:
        return unsent if copy else KNOWN
    has_copy = copy or (it.rule, it.source, it.message) in sent
    is_due = it.op == "delete" and route.options.auto_delete
    return None if has_copy and (is_due or FOLLOWED[it.op] in route.sync) else KNOWN


async def _send(
    item: _Item, outcome: Outcome | None, message: Incoming | None, judge: Judge
) -> tuple[Delivery, Outcome | None]:
    it, route = item.reference, item.route
    if outcome is None and message is None:
        # Whoever follows deletes, or waits for them, wants no copy of what is gone.
        waits = bool(route.options.hold or it.part)
        outcome = _LEFT if "deletes" in route.sync or waits else _GONE
    if it.judge and outcome is None and message is not None:
        outcome = await _verdict(judge, message, route)
    facts_of = TelegramFacts if outcome is None else None
    stub = Incoming(it.source, it.message, "", (), False)
    [delivery] = deliveries(message or stub, [route], facts_of)
    if it.part:
        delivery.part = "entry"
        delivery.whole = message.raw if message is not None else None
    return delivery, Outcome("refused", reason=delivery.error) if delivery.error else outcome


def _change(
    item: _Item, outcome: Outcome | None, message: Incoming | None
) -> tuple[Delivery, Outcome | None]:
    """Return a change as its message is now: what is gone is deleted by a change of its own."""
    it, route = item.reference, item.route
    made = it.delivery(route.destination)
    made.topics = "topics" in route.sync and may_follow(route)
    delivery: Delivery | None = made
    if outcome is None and it.op not in _UNREAD:
        if message is None:
            outcome = KNOWN
        elif it.op == "edit":
            delivery = edit_of(message, route)
        else:
            is_pinned = bool(getattr(message.raw, "pinned", False))
            delivery = it._replace(op="pin" if is_pinned else "unpin").delivery(route.destination)
    if delivery is None:
        delivery, outcome = it.delivery(route.destination), KNOWN
    delivery.copy = item.copy
    return delivery, outcome


def not_judged(reason: str) -> Outcome:
    """Return the outcome of a message that its rule's filter could not judge."""
    return Outcome("refused", reason=reason, dead=DeadReason.NOT_JUDGED)


async def _verdict(judge: Judge, message: Incoming, route: Route) -> Outcome | None:
    """Return the outcome of a message that the filter does not take, or cannot judge."""
    taken = await judge(message, [route])
    if not taken:
        return NOT_TAKEN
    return not_judged(taken[0].unjudged) if taken[0].unjudged else None


def _route(
    routes: Mapping[int, tuple[Route, ...]],
    incomplete: Incomplete,
    destination: int,
    it: Reference,
) -> tuple[Route, Outcome | None]:
    """Return a reference's route, and the outcome where it is not in use."""
    bare = Route(it.rule, destination, it.mode)
    if it.rule in incomplete and incomplete[it.rule] is None:
        reason, dead = "this node cannot use its rule", DeadReason.RULE_CHANGED
        if it.judge:
            return bare, not_judged(reason)
        return bare, Outcome("failed", reason=reason, dead=dead)
    for route in routes.get(it.source, ()):
        if route.rule == it.rule and route.destination == destination:
            return route, None
    rule = incomplete.get(it.rule)
    if rule is None:
        return bare, RULE_GONE
    return replace(rule.route(destination), mode=it.mode), None


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
