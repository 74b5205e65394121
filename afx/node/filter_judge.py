"""Asks the filters of a session's rules about each message, before it is admitted.

A filter that fails on a message, which none should, has not judged it: the message becomes
a dead letter of that rule (``not_judged``), and is judged again when it is retried. So it is
neither passed on unfiltered nor dropped unseen, and one message that a filter cannot cope
with does not stop the rule for all others. The same holds for a message whose album
Telegram keeps refusing to give: its source waits for a time, and then goes on. An error
that says nothing about the request, as Telegram's own do, is waited for, however long:
an outage costs time, and no message (docs/decisions/011). It is none when Telegram gives an
item of the album by itself, again and again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from telethon import errors

from afx.empty import NONE, NOTHING
from afx.forwarding.albums import REACH, AlbumCaptions
from afx.forwarding.facts import Facts
from afx.forwarding.pipeline import Incoming
from afx.forwarding.rules import Route, accepting, filtered
from afx.node.message_source import MessageSource, ToldToWaitError, UnknownChatError
from afx.reasons import TroubleReason
from afx.telegram.errors import error_name, is_about_request, refuses_chat
from afx.telegram.facts import TelegramFacts
from afx.telegram.messages import incoming

_RETRY_SECONDS, _RETRY_MAX = 1.0, 30.0
_MOST_TRIES = 8
"""Reads of one album that is refused for a reason that may pass: a minute and a half."""
_REPORTED_TRIES = 3
"""After so many reads in vain the wait is reported."""
_GIVEN_UP_SECONDS = 10.0
"""Between the single reads of the next albums of a source of which one was given up."""


@dataclass(slots=True, frozen=True)
class _GivenUp:
    """The last album of a source that was given up."""

    album: int
    at: float
    """When, on the monotonic clock."""
    reason: str


class FilterJudge:
    """The filters of one session, and the albums that they see as one message."""

    __slots__ = (
        "_albums",
        "_filtered",
        "_given_up",
        "_monotonic",
        "_sleep",
        "_source",
        "_trouble",
    )

    def __init__(
        self,
        source: MessageSource,
        trouble: Callable[[TroubleReason, str], None],
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """``trouble`` takes what hinders it; ``sleep`` waits for so many seconds."""
        self._source = source
        self._trouble = trouble
        self._monotonic = monotonic
        self._sleep = sleep
        self._albums = AlbumCaptions()
        self._filtered: frozenset[int] = NONE
        """Sources of which a route has a filter."""
        self._given_up: Mapping[int, _GivenUp] = NOTHING
        """source → the album that was given up, if none of it was read since."""

    def use_routes(self, routes: Mapping[int, tuple[Route, ...]]) -> None:
        """Judge by these from now on."""
        self._filtered = filtered(routes) or NONE

    def forget_albums(self, chats: Iterable[int]) -> None:
        """Judge what comes next of these chats by captions as they are now, not as they came."""
        for it in chats:
            self._albums.forget(it)

    def judge(self, message: Incoming, routes: Sequence[Route]) -> Sequence[Route] | None:
        """Return the routes that take a message; call it in the order of the messages.

        None: its album has to be read first, see ``judge_later``.
        """
        if message.chat not in self._filtered:
            return routes
        facts = self._albums.judged(TelegramFacts(message))
        return None if facts is None else accepting(facts, routes)

    async def judge_later(self, message: Incoming, routes: Sequence[Route]) -> Sequence[Route]:
        """Return the same; reads the message's album if it is not known, and waits for that.

        The routes that have a filter are returned as not judged when Telegram does not give
        the album. A lost connection, or login, is waited for: the session ends, or goes on.
        """
        facts: Facts | None
        pause, tries, vain = _RETRY_SECONDS, 0, 0
        given_up = self._given_up.get(message.chat)
        if given_up and self._albums.judged(TelegramFacts(message)) is None:
            if given_up.album == _album_of(message):
                return _unjudged(routes, given_up.reason)
            if (left := given_up.at + _GIVEN_UP_SECONDS - self._monotonic()) > 0:
                await self._sleep(left)
        most = 1 if given_up else _MOST_TRIES
        while (facts := self._albums.judged(TelegramFacts(message))) is None:
            try:
                await self._read_album(message)
                self._given_up = {k: v for k, v in self._given_up.items() if k != message.chat}
                continue
            except ToldToWaitError as error:
                await self._sleep(error.seconds)
                continue
            except UnknownChatError as error:
                return _unjudged(routes, str(error))
            except errors.RPCError as error:
                reason = error_name(error)
                if refuses_chat(error):
                    return _unjudged(routes, reason)
                if is_about_request(error):
                    tries += 1
                elif vain >= (1 if given_up else _MOST_TRIES) and await self._is_given(message):
                    tries += 1  # Telegram answers, and errs on this album alone
                if tries >= most:
                    known = _GivenUp(_album_of(message), self._monotonic(), reason)
                    self._given_up = {**self._given_up, message.chat: known}
                    return _unjudged(routes, reason)
                vain += 1
                if vain == _REPORTED_TRIES:
                    self._trouble(
                        TroubleReason.SOURCE_UNREADABLE,
                        f"{message.chat} waits: albums of it cannot be read now: {reason}",
                    )
            except (OSError, EOFError):
                pass
            await self._sleep(pause)
            pause = min(_RETRY_MAX, pause * 2)
        return accepting(facts, routes)

    async def _is_given(self, message: Incoming) -> bool:
        """Return whether Telegram gives an item by itself: there is no outage."""
        try:
            await self._source.fetch(message.chat, [message.id])
        except (errors.RPCError, ToldToWaitError, UnknownChatError, OSError, EOFError):
            return False
        return True

    async def _read_album(self, message: Incoming) -> None:
        """Read the neighbours of an item. Source: method/channels.getMessages."""
        ids = range(max(1, message.id - REACH), message.id + REACH + 1)
        found = await self._source.fetch(message.chat, ids)
        others = [TelegramFacts(it) for it in map(incoming, found) if it is not None]
        self._albums.learn(TelegramFacts(message), others)


def _album_of(message: Incoming) -> int:
    return TelegramFacts(message).album


def _unjudged(routes: Sequence[Route], reason: str) -> Sequence[Route]:
    text = f"its album cannot be read: {reason}"
    return [it if it.test is None else replace(it, unjudged=text) for it in routes]
