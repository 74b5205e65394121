"""Edits and deletes in every participant's box, with their pushes.

Source: core.telegram.org/api/updates; each box has its own pts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from afx.sandbox.telegram.boxes import Box, Content, Event, Message
from afx.sandbox.telegram.peers import Account, Channel
from afx.sandbox.telegram.pushes import Client, Pushes
from afx.sandbox.telegram.world import World


@dataclass(slots=True, frozen=True)
class Place:
    """Where messages are changed: a channel, or an account's own box; and by whom."""

    world: World
    pushes: Pushes
    owner: Channel | Account
    by: int
    """The account that makes the change; 0 for the control channel."""
    skip: Client | None = None
    """The connection that learns of it by an answer, not by a push."""

    @property
    def box(self) -> Box:
        """The box that holds the messages."""
        return self.owner.box

    def edit(self, message: Message, content: Content) -> Event:
        """Change a message and every participant's copy; returns the box's own event."""
        event = self._edit(self.box, message, content)
        if isinstance(self.owner, Channel):
            self.pushes.channel_event(self.owner, event, message, skip=self.skip)
            return event
        self.pushes.account_event(self.owner, event, message, skip=self.skip)
        for account, copy in self._others(message):
            self.pushes.account_event(account, self._edit(account.box, copy, content), copy)
        return event

    def delete(self, ids: Iterable[int], *, revoke: bool = True) -> Event | None:
        """Remove messages, with ``revoke`` every participant's copies; returns the event.

        None when none of them was there.
        """
        wanted = list(ids)
        others: dict[Account, list[int]] = {}
        for number in wanted if revoke and isinstance(self.owner, Account) else ():
            message = self.box.messages.get(number)
            for account, copy in self._others(message) if message else ():
                others.setdefault(account, []).append(copy.id)
        for account, theirs in others.items():
            its_event = self.world.delete(account.box, theirs, by=self.by)
            if its_event:
                self.pushes.account_event(account, its_event, None)
        event = self.world.delete(self.box, wanted, by=self.by)
        if event is None:
            return None
        if isinstance(self.owner, Channel):
            self.pushes.channel_event(self.owner, event, None, skip=self.skip)
        else:
            self.pushes.account_event(self.owner, event, None, skip=self.skip)
        return event

    def _edit(self, box: Box, message: Message, content: Content) -> Event:
        fields: dict[str, Any] = {"media": content.media, "by": self.by}
        return self.world.edit(box, message, content.text, content.entities, **fields)

    def _others(self, message: Message) -> Iterator[tuple[Account, Message]]:
        """Return the other participants' copies of a message, each in its own box."""
        for account_id, message_id in message.twins:
            account = self.world.accounts[account_id]
            if account is not self.owner and (copy := account.box.messages.get(message_id)):
                yield account, copy
