"""From a change in a source to the changes of its copies, which go through the same lanes.

What is still to be sent when its change comes is sent as the change has left it, or not at
all. Everything else waits in order behind the sends: an edit never overtakes its copy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from afx.cluster.links import is_channel
from afx.forwarding.changes import FOLLOWED, Change
from afx.forwarding.facts import CAPTIONED
from afx.forwarding.pipeline import Delivery, Incoming, Op, deliveries
from afx.forwarding.rules import Route
from afx.node.outbox import Reference
from afx.reasons import DeadReason
from afx.telegram.boxes import Ticket
from afx.telegram.errors import closes_chat
from afx.telegram.facts import TelegramFacts
from afx.telegram.sender import Outcome

REFUSED: Mapping[Op, DeadReason] = {
    "edit": DeadReason.EDIT_REFUSED,
    "delete": DeadReason.DELETE_REFUSED,
    "pin": DeadReason.PIN_REFUSED,
    "unpin": DeadReason.PIN_REFUSED,
}
"""What the dead letter of a change is called."""
_RETRIED: Mapping[DeadReason, Op] = {
    DeadReason.EDIT_REFUSED: "edit",
    DeadReason.DELETE_REFUSED: "delete",
    DeadReason.PIN_REFUSED: "pin",
}


def followed(routes: Mapping[int, tuple[Route, ...]], change: Change) -> dict[int, list[Delivery]]:
    """Return what a change causes, by the source chat; nothing where no rule follows it.

    A change of which Telegram does not name the chat is looked for in all chats that share
    the account's message ids: a message that was copied has a link in one of them at most.
    """
    if change.chat:
        chats: Iterable[int] = (change.chat,)
    else:
        chats = [it for it in routes if not is_channel(it)]
    event = FOLLOWED[change.kind]
    found = {}
    for chat in chats:
        wanted = [it for it in routes.get(chat, ()) if event in it.sync]
        made = [it for route in wanted for it in _of_route(change, chat, route)]
        if made:
            found[chat] = made
    return found


def _of_route(change: Change, chat: int, route: Route) -> list[Delivery]:
    if change.message is not None:
        made = edit_of(change.message, route)
        return [made] if made else []
    return [
        Reference(route.rule, route.mode, chat, it, op=change.kind).delivery(route.destination)
        for it in change.messages
    ]


def edit_of(message: Incoming, route: Route) -> Delivery | None:
    """Return the edit of a message's copy; None for a kind that no edit changes."""
    facts = TelegramFacts(message)
    if facts.media != "text" and facts.media not in CAPTIONED:
        return None
    [made] = deliveries(message, [replace(route, unjudged="")], TelegramFacts)
    return replace(made, op="edit", whole=message.raw)


def edit_again(routes: Mapping[int, tuple[Route, ...]], sent: Delivery) -> Delivery | None:
    """Return the edit, read when it is made, of a copy that is as its source was earlier.

    None where its rule follows no edits.
    """
    for it in routes.get(sent.source, ()):
        if (it.rule, it.destination) == (sent.rule, sent.destination) and "edits" in it.sync:
            return replace(sent, op="edit")
    return None


def retried(
    routes: Mapping[int, tuple[Route, ...]],
    rule: int,
    source: int,
    messages: Iterable[int],
    reason: DeadReason | None,
) -> Iterator[Reference]:
    """Yield the deliveries by which dead letters of a rule are tried again.

    ``reason`` is why they are ones, where that tells what is to be done.
    """
    op: Op = "send" if reason is None else _RETRIED.get(reason, "send")
    modes = {it.rule: it.mode for it in routes.get(source, ())}
    for message in messages:
        judge = reason is DeadReason.NOT_JUDGED
        yield Reference(rule, modes.get(rule, "copy"), source, message, judge, op)


def alike(queue: Iterable[tuple[Delivery, Ticket]], most: int) -> list[tuple[Delivery, Ticket]]:
    """Return the first sends of a queue, or its first changes, up to so many."""
    found: list[tuple[Delivery, Ticket]] = []
    for it in islice(queue, most):
        if found and (it[0].op == "send") is not (found[0][0].op == "send"):
            break
        found.append(it)
    return found


def closes_destination(delivery: Delivery, outcome: Outcome) -> bool:
    """Return whether a refusal says that the destination takes nothing for now.

    That of a change says it of changes only: who may post may not pin.
    """
    return delivery.op == "send" and closes_chat(outcome.reason)


def fold(
    queue: deque[tuple[Delivery, Ticket]], begun: int, change: Delivery
) -> Sequence[tuple[Delivery, Ticket]] | None:
    """Make a change in what is still to be sent; returns what is not to be sent any more.

    None: its message is not in the queue, or among the first ``begun`` ones, which may have
    been sent already; or a difference has brought it, so that an earlier run may have sent it:
    its random id would give the copy as it was.
    """
    if change.op not in ("edit", "delete") or change.error:
        return None
    for at in range(len(queue) - 1, begun - 1, -1):
        it, ticket = queue[at]
        same = (it.rule, it.source, it.message) == (change.rule, change.source, change.message)
        if not same or it.op in ("pin", "unpin") or (it.op, change.op) == ("edit", "delete"):
            continue
        if it.op == "delete" or (it.op == "send" and not ticket.pts):
            return None
        if change.op == "delete":
            gone = queue[at]
            del queue[at]
            return [gone]
        # Of several edits the last one counts, and takes one request.
        it.text, it.entities, it.raw = change.text, change.entities, change.raw
        it.needs_native_forward, it.album = change.needs_native_forward, change.album
        if it.op == "edit":
            it.whole, it.error = change.whole, ""
        return []
    return None
