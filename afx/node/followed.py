"""From a change in a source to the changes of its copies, which go through the same lanes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from afx.cluster.links import is_channel
from afx.forwarding.changes import FOLLOWED, Change
from afx.forwarding.facts import CAPTIONED
from afx.forwarding.live import is_live
from afx.forwarding.pipeline import Delivery, Incoming, deliveries, may_follow
from afx.forwarding.rules import Route
from afx.node.references import Reference
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
    found = {}
    for chat in chats:
        wanted = [it for it in routes.get(chat, ()) if _follows(it, change)]
        made = [it for route in wanted for it in _of_route(change, chat, route)]
        if made:
            found[chat] = made
    return found


def _of_route(change: Change, chat: int, route: Route) -> list[Delivery]:
    if change.message is not None:
        edited = edit_of(change.message, route, change.version)
        return [edited] if edited else []
    keeps_topics = "topics" in route.sync and may_follow(route)
    # What is deleted may be a topic; whoever does not follow that is told of it all the same.
    op = change.kind if FOLLOWED[change.kind] in route.sync else "topic"
    made = [
        Reference(route.rule, route.mode, chat, it, op=op).delivery(route.destination)
        for it in change.messages
    ]
    for it in made:
        it.topics = keeps_topics
    return made


def _follows(route: Route, change: Change) -> bool:
    if FOLLOWED[change.kind] in route.sync:
        return change.kind != "topic" or may_follow(route)
    return change.kind == "delete" and "topics" in route.sync and may_follow(route)


def edit_of(message: Incoming, route: Route, version: int = 0) -> Delivery | None:
    """Return the edit of a message's copy; None for a kind that no edit changes."""
    facts = TelegramFacts(message)
    if facts.media != "text" and facts.media not in CAPTIONED and not is_live(message.raw):
        return None
    [made] = deliveries(message, [replace(route, unjudged="")], TelegramFacts)
    return replace(made, op="edit", whole=message.raw, version=version)


def take_edit(it: Delivery, edit: Delivery) -> None:
    """Give what waits the content of an edit: of several edits the last one counts."""
    it.text, it.entities, it.raw = edit.text, edit.entities, edit.raw
    it.needs_native_forward, it.album = edit.needs_native_forward, edit.album
    it.look, it.buttons = edit.look, edit.buttons
    if it.op == "edit" or it.whole is not None:
        it.whole = edit.whole
    if it.op == "edit":
        it.error, it.version = "", edit.version
