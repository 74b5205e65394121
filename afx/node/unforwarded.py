"""Of which messages the contents are forgotten: those of which no copy is made after all.

What another message has of them is no duplicate then (see ``seen_contents``).
"""

from __future__ import annotations

from afx.forwarding.changes import Change
from afx.forwarding.pipeline import Delivery
from afx.forwarding.rules import Routes
from afx.node.outbox import Reference
from afx.node.postponed import Postponed
from afx.node.seen_contents import SeenContents
from afx.reasons import DeadReason
from afx.telegram.sender import Outcome

_OF_MESSAGE = frozenset(
    {DeadReason.SOURCE_UNREADABLE, DeadReason.MESSAGE_UNREADABLE, DeadReason.MESSAGE_GONE}
)
_PROTECTED = "CHAT_FORWARDS_RESTRICTED"


def note_settled(seen: SeenContents, routes: Routes, delivery: Delivery, outcome: Outcome) -> None:
    """Forget the content of a message that was not sent.

    It stays where another destination of the rule may have got the message.
    """
    if outcome.result != "refused" and outcome.dead is None:
        return
    is_of_message = delivery.error or outcome.dead in _OF_MESSAGE or outcome.reason == _PROTECTED
    beside = [it for it in routes.get(delivery.source, ()) if it.rule == delivery.rule]
    if is_of_message or len(beside) < 2:
        seen.forget(delivery.rule, delivery.source, delivery.message)


def note_change(seen: SeenContents, routes: Routes, later: Postponed, change: Change) -> None:
    """Forget the contents of messages that are deleted before they are due."""
    if change.kind != "delete" or not later.next_due():
        return
    for route in routes.get(change.chat, ()):
        for number in change.messages if route.options.dedupe else ():
            it = Reference(route.rule, route.mode, change.chat, number)
            if later.has(it.delivery(route.destination)):
                seen.forget(route.rule, change.chat, number)
