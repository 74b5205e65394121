"""Lets one session's copies follow the changes of their sources, in order with its sends.

What is still to be sent when its change comes is sent as the change has left it, or not at
all (see ``lane_queue``). Everything else waits in order behind the sends: an edit never
overtakes its copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from afx.cluster.links import CopyRoute
from afx.forwarding.changes import Change
from afx.forwarding.pipeline import Delivery
from afx.forwarding.rules import Route
from afx.node.admission import Admission
from afx.node.dead_letters import REFUSED, DeadLetters
from afx.node.digested import Digested
from afx.node.followed import followed
from afx.reasons import DeadReason, TroubleReason
from afx.telegram.boxes import Box, Ticket
from afx.telegram.sender import Outcome


class FollowerOwner(Protocol):
    """The forwarder whose copies follow."""

    def put(self, delivery: Delivery, ticket: Ticket) -> None:
        """Put a change behind what its lane holds."""

    def left_out(self, ticket: Ticket) -> None:
        """Settle what is not to be made, or has been made."""

    def trouble(self, reason: TroubleReason, text: str) -> None:
        """Report what hinders the session."""


class ChangeFollower:
    """Finds what a change causes, and settles it."""

    __slots__ = ("_admission", "_dead", "_digested", "_owner")

    def __init__(
        self, admission: Admission, dead: DeadLetters, digested: Digested, owner: FollowerOwner
    ) -> None:
        self._admission = admission
        self._dead = dead
        self._digested = digested
        self._owner = owner

    def follow(
        self, routes: Mapping[int, tuple[Route, ...]], box: Box, pts: int, change: Change
    ) -> Ticket:
        """Take the next update of a box: its changes go behind the messages of their sources."""
        found = followed(routes, change).items()
        made = {chat: [it for it in them if not self._digested.covers(it)] for chat, them in found}
        ticket = box.admit(pts, sum(map(len, made.values())))
        for chat, them in made.items():
            self._admission.behind(chat, partial(self._put, them, ticket))
        return ticket

    def _put(self, changes: Iterable[Delivery], ticket: Ticket) -> None:
        for it in changes:
            self._owner.put(it, ticket)

    async def find_copies(self, batch: Sequence[Delivery]) -> None:
        """Tell changes which copies they are of; 0 for one that has none.

        Waits while Redis has lost links that SQL has. Sends learn which copies they answer.
        """
        if batch[0].op == "send":
            answers = [it for it in batch if it.answers and not it.parent]
            parents = await self._linked([(it, it.answers) for it in answers], complete=False)
            for it, parent in zip(answers, parents, strict=True):
                it.parent = parent
            return
        unknown = [it for it in batch if not it.copy]
        copies = await self._linked([(it, it.message) for it in unknown], complete=True)
        for it, copy in zip(unknown, copies, strict=True):
            it.copy = copy

    async def _linked(
        self, messages: Sequence[tuple[Delivery, int]], *, complete: bool
    ) -> Sequence[int]:
        if not messages:
            return ()
        return await self._admission.linked(
            [(CopyRoute(it.rule, it.source, it.destination), number) for it, number in messages],
            complete=complete,
        )

    def settle(self, change: Delivery, ticket: Ticket, outcome: Outcome) -> None:
        """A change was made, or was refused, which makes it a dead letter of its own kind."""
        # What is gone at its source is deleted by a change of its own, if that is followed.
        if outcome.result == "refused" and outcome.dead is not DeadReason.MESSAGE_GONE:
            self._owner.trouble(
                TroubleReason.MESSAGE_REFUSED,
                f"the copy of message {change.message} of {change.source} in "
                f"{change.destination} is not changed ({change.op}): {outcome.reason}",
            )
            self._dead.add(change, REFUSED[change.op], outcome.reason, outcome.attempts)
        self._owner.left_out(ticket)


def edit_again(routes: Mapping[int, tuple[Route, ...]], sent: Delivery) -> Delivery | None:
    """Return the edit, read when it is made, of a copy that is as its source was earlier.

    None where its rule follows no edits.
    """
    for it in routes.get(sent.source, ()):
        if (it.rule, it.destination) == (sent.rule, sent.destination) and "edits" in it.sync:
            return replace(sent, op="edit")
    return None
