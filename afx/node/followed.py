"""From a change in a source to the changes of its copies, which go through the same lanes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from afx.cluster.links import is_channel
from afx.forwarding.changes import FOLLOWED, Change
from afx.forwarding.facts import CAPTIONED
from afx.forwarding.live import is_live
from afx.forwarding.pipeline import Delivery, Incoming, deliveries
from afx.forwarding.rules import Route
from afx.node.outbox import Reference
from afx.telegram.facts import TelegramFacts


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
        made = edit_of(change.message, route, change.version)
        return [made] if made else []
    return [
        Reference(route.rule, route.mode, chat, it, op=change.kind).delivery(route.destination)
        for it in change.messages
    ]


def edit_of(message: Incoming, route: Route, version: int = 0) -> Delivery | None:
    """Return the edit of a message's copy; None for a kind that no edit changes."""
    facts = TelegramFacts(message)
    if facts.media != "text" and facts.media not in CAPTIONED and not is_live(message.raw):
        return None
    [made] = deliveries(message, [replace(route, unjudged="")], TelegramFacts)
    return replace(made, op="edit", whole=message.raw, version=version)
