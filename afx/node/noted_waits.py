"""Notes a wait that Telegram asks for: for the account's lanes, for tasks, and for people."""

from __future__ import annotations

from afx.node.account_signs import account_trouble
from afx.node.forwarder_owner import ForwarderOwner
from afx.node.lanes import Lanes
from afx.node.waits import ALL, Waits


def note_wait(
    waits: Waits, lanes: Lanes, owner: ForwarderOwner, key: int | str, seconds: float, reason: str
) -> None:
    """Note a wait of a lane or a task (see ``Waits.note``); one for all is reported once."""
    was_waiting = waits.left(ALL) > 0
    owner.progressed()
    is_for_all = waits.note(key, seconds, reason)
    lanes.wait(key, seconds, is_for_all=is_for_all)
    if is_for_all and not was_waiting:
        text = f"Telegram takes no sends of this account for now: {reason}"
        owner.trouble(account_trouble(reason), text)
