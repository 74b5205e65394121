"""Posts source messages at a rate, as people in the source chats would."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from afx.sandbox.telegram import changes
from afx.sandbox.telegram.peers import Account, Channel, Group
from afx.sandbox.telegram.pushes import Pushes
from afx.sandbox.telegram.world import World


class Place(Protocol):
    """Where messages are posted: a world, and the pushes of what happens in it."""

    world: World
    pushes: Pushes


@dataclass(slots=True)
class Progress:
    """How far a flow has come."""

    posted: int = 0
    total: int = 0
    done: bool = True


class Flow:
    """One stream of posts over some chats in turn; owns its task."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._task: asyncio.Task[None] | None = None
        self._flows = 0
        self.progress = Progress()

    def start(self, chats: Sequence[tuple[int, int]], count: int, rate: float) -> None:
        """Post ``count`` messages at ``rate`` a second; chats are (id, author)."""
        self._flows += 1  # the ledger recognises copies by text: those of two flows must differ
        self.progress = Progress(total=count, done=False)
        self._task = asyncio.get_running_loop().create_task(self._run(chats, count, rate))

    def cancel(self) -> None:
        """End the stream now; ``stop`` also waits for its end."""
        if self._task:
            self._task.cancel()
        self.progress.done = True

    async def stop(self) -> None:
        """End the stream, and wait until it has ended."""
        self.cancel()
        if self._task:
            await asyncio.gather(self._task, return_exceptions=True)

    def _text(self, number: int, chat: int) -> str:
        return f"stream {self._flows}: message {number + 1} to {chat}"

    async def _run(self, chats: Sequence[tuple[int, int]], count: int, rate: float) -> None:
        started_at = time.monotonic()
        for number in range(count):
            # Sleep only when ahead, so that the next posts make up for a late wake-up.
            ahead = started_at + number / rate - time.monotonic()
            if ahead > 0.0005:
                await asyncio.sleep(ahead)
            elif number % 32 == 0:
                await asyncio.sleep(0)
            chat, author = chats[number % len(chats)]
            post(self._place, chat, author, self._text(number, chat))
            self.progress.posted += 1
        self.progress.done = True


def post(place: Place, chat: int, author: int, text: str, **fields: Any) -> int:
    """Post a text as an account and push it; returns the message's id.

    ``fields`` are those of ``Message``, for example ``reply_to`` and ``topic``.
    Raises KeyError when the chat or the author is unknown.
    """
    peer = place.world.find(chat)
    if isinstance(peer, Channel):
        message, event = place.world.post(peer, author, text, **fields)
        place.pushes.channel_event(peer, event, message)
        return message.id
    if not isinstance(peer, Account | Group):
        raise KeyError(chat)
    sender = place.world.accounts[author]
    copies = place.world.deliver(peer, sender, text, **fields)
    for account, copy, event in copies:
        place.pushes.account_event(account, event, copy)
    return copies[0][1].id


def edit(place: Place, chat: int, account: int, number: int, text: str) -> None:
    """Change a message's text as an account, in every participant's box.

    Outside channels the message is named by its id in the account's own box.
    Raises KeyError when the chat, the account or the message is unknown.
    """
    changed = _changed(place, chat, account)
    message = changed.box.messages[number]
    changed.edit(message, message.content._replace(text=text, entities=[]))


def delete(place: Place, chat: int, account: int, ids: Sequence[int]) -> int:
    """Remove messages as an account, in every participant's box; returns how many were there.

    Raises KeyError when the chat or the account is unknown.
    """
    event = _changed(place, chat, account).delete(ids)
    return event.count if event else 0


def _changed(place: Place, chat: int, account: int) -> changes.Place:
    peer = place.world.find(chat)
    if peer is None:
        raise KeyError(chat)
    owner = peer if isinstance(peer, Channel) else place.world.accounts[account]
    return changes.Place(place.world, place.pushes, owner, account)
