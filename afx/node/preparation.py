"""What a session needs before it starts: its rules' chats, resolved, and its positions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from afx.cluster.specs import RuleSpec
from afx.forwarding.rules import ResolvedRule, Route, compile_routes
from afx.reasons import FailureReason
from afx.telegram.client import AccountClient
from afx.telegram.peers import Peers, UnknownChatError
from afx.telegram.positions import UnreadableSourceError, set_positions
from afx.telegram.session import MalformedPositionError, StoredSession
from afx.telegram.updates import UpdateReader

Routes = Mapping[int, tuple[Route, ...]]


class StartError(Exception):
    """A session cannot start; the text is for the customer."""

    def __init__(self, reason: FailureReason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


async def resolve_routes(rules: Sequence[RuleSpec], peers: Peers) -> Routes:
    """Return the routes of each source chat; raises StartError."""
    chats = [chat for rule in rules for chat in (*rule.sources, *rule.destinations)]
    try:
        ids = await peers.resolve(chats)
    except UnknownChatError as error:
        raise StartError(FailureReason.CHAT_UNKNOWN, str(error)) from error
    return compile_routes(
        ResolvedRule(
            rule.id,
            tuple(ids[chat] for chat in rule.sources),
            tuple(ids[chat] for chat in rule.destinations),
            "forward" if rule.mode == "forward" else "copy",
        )
        for rule in rules
    )


async def position(
    client: AccountClient,
    reader: UpdateReader,
    stored: StoredSession,
    peers: Peers,
    sources: Iterable[int],
) -> None:
    """Set where each source begins; raises StartError."""
    try:
        await set_positions(client, reader, stored, peers, sources)
    except UnreadableSourceError as error:
        raise StartError(FailureReason.CHAT_UNREADABLE, str(error)) from error
    except MalformedPositionError as error:
        raise StartError(FailureReason.STATE_MALFORMED, str(error)) from error
