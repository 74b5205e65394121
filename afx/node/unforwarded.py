"""Of which messages the contents are forgotten: those of which no copy is made after all.

What another message has of them is no duplicate then (see ``seen_contents``).
"""

from __future__ import annotations

from itertools import product

from afx.cluster.links import is_channel
from afx.forwarding.changes import Change
from afx.forwarding.pipeline import Delivery
from afx.forwarding.rules import Routes
from afx.node.outboxes import Outboxes
from afx.node.postponed import Postponed
from afx.node.references import Reference
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


def note_change(
    seen: SeenContents, routes: Routes, later: Postponed, outboxes: Outboxes, change: Change
) -> None:
    """Forget the contents of messages that are deleted while they wait to be sent.

    Where a rule has several destinations, a message waits for all of them, or one may have it.
    """
    if change.kind != "delete":
        return
    # Telegram names no chat outside channels (api/updates, updateDeleteMessages).
    chats = (change.chat,) if change.chat else [it for it in routes if not is_channel(it)]
    for chat in chats:
        deduped = [it for it in routes.get(chat, ()) if it.options.dedupe]
        for number, rule in product(change.messages, dict.fromkeys(it.rule for it in deduped)):
            # What may wait for an approval is not sent any more: if the same comes again, an
            # operator decides about that.
            sends = [
                Reference(rule, it.mode, chat, number).delivery(it.destination)
                for it in deduped
                if it.rule == rule and not it.options.review
            ]
            if all(later.has(it) or outboxes.holds(it) for it in sends):
                seen.forget(rule, chat, number)
