"""Fetches the messages that an outbox refers to, when they are to be sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from telethon import errors

from afx.forwarding.pipeline import Delivery, Incoming, deliveries
from afx.forwarding.rules import Route
from afx.node.outbox import Reference
from afx.telegram.client import AccountClient
from afx.telegram.differences import fetch_messages
from afx.telegram.errors import error_name, refuses_chat
from afx.telegram.facts import TelegramFacts
from afx.telegram.messages import incoming
from afx.telegram.peers import Peers
from afx.telegram.sender import Outcome

Linked = Callable[[Sequence[tuple[Incoming, Route]]], Awaitable[list[int]]]
"""Returns the copies that earlier runs have made of messages by routes; 0 for none."""


async def fetch(
    client: AccountClient,
    peers: Peers,
    routes: Mapping[int, tuple[Route, ...]],
    linked: Linked,
    destination: int,
    references: Sequence[Reference],
) -> list[tuple[Delivery, Outcome | None]]:
    """Return the deliveries of some references, and the outcome of those not to be sent.

    Raises telethon's errors when Telegram gives no answer, or wants a wait.
    """
    contents, refused = await _contents(client, peers, routes, references)
    found: list[tuple[Delivery, Outcome | None]] = []
    wanted: list[tuple[int, Incoming, Route]] = []
    for at, it in enumerate(references):
        message = contents.get((it.source, it.message))
        used = [
            route
            for route in routes.get(it.source, ())
            if route.rule == it.rule and route.destination == destination
        ]
        route = used[0] if used else Route(it.rule, destination, it.mode)
        reason = refused.get(it.source, "it was deleted before it could be sent")
        outcome = None
        if not used:
            outcome = Outcome("refused", reason="its rule does not forward there any more")
        elif message is None:
            outcome = Outcome("refused", reason=reason)
        else:
            wanted.append((at, message, route))
        message = message or Incoming(it.source, it.message, "", (), False)
        [delivery] = deliveries(message, [route], TelegramFacts if outcome is None else None)
        if delivery.error:
            outcome = Outcome("refused", reason=delivery.error)
        found.append((delivery, outcome))
    copies = await linked([(message, route) for _, message, route in wanted])
    for (at, _, _), copy in zip(wanted, copies, strict=True):
        if copy:
            found[at] = (found[at][0], Outcome("known", copy))
    return found


async def _contents(
    client: AccountClient,
    peers: Peers,
    routes: Mapping[int, tuple[Route, ...]],
    references: Sequence[Reference],
) -> tuple[dict[tuple[int, int], Incoming], dict[int, str]]:
    """Return (messages by chat and id, why sources cannot be read)."""
    wanted: dict[int, dict[int, None]] = {}
    for it in references:
        if it.source in routes:
            wanted.setdefault(it.source, {})[it.message] = None
    contents: dict[tuple[int, int], Incoming] = {}
    refused: dict[int, str] = {}
    for source, ids in wanted.items():
        try:
            found = await fetch_messages(client, source, peers.input_peer(source), list(ids))
        except errors.RPCError as error:
            if not refuses_chat(error):
                raise
            refused[source] = error_name(error)
            continue
        for message in map(incoming, found):
            if message is not None:
                contents[source, message.id] = message
    return contents, refused
