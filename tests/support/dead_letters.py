"""Dead letters for tests of those who look at them."""

from __future__ import annotations

from models.base import transaction
from models.storage import dead_letters
from models.storage.dead_letters import Undelivered
from models.tables import Rule


def add_dead_letters(rule: int, first: int = 1) -> None:
    """Add three of a rule: two whose destination is closed, one that was deleted.

    ``first`` is the id of the first one.
    """
    session = Rule.get_by_id(rule).session_id
    route = {"session": session, "rule": rule, "source": -(10**12) - 5, "destination": -7}
    with transaction():
        dead_letters.note(
            [
                Undelivered(
                    **route,
                    messages=(first, first + 1),
                    reason="destination_closed",
                    error="CHAT_WRITE_FORBIDDEN",
                ),
                Undelivered(**route, messages=(first + 2,), reason="message_gone"),
            ]
        )
