"""Asks the filters of a session's rules about each message, before it is admitted.

A filter that fails on a message, which none should, has not judged it: the message becomes
a dead letter of that rule (``not_judged``), and is judged again when it is retried. So it is
neither passed on unfiltered nor dropped unseen, and one message that a filter cannot cope
with does not stop the rule for all others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from telethon import errors

from afx.empty import NONE
from afx.forwarding.albums import REACH, AlbumCaptions
from afx.forwarding.facts import Facts
from afx.forwarding.pipeline import Incoming
from afx.forwarding.rules import Route, accepting, filtered
from afx.node.message_source import MessageSource, ToldToWaitError, UnknownChatError
from afx.telegram.errors import error_name, refuses_chat
from afx.telegram.facts import TelegramFacts
from afx.telegram.messages import incoming

_RETRY_SECONDS, _RETRY_MAX = 1.0, 30.0


class FilterJudge:
    """The filters of one session, and the albums that they see as one message."""

    __slots__ = ("_albums", "_filtered", "_source")

    def __init__(self, source: MessageSource) -> None:
        self._source = source
        self._albums = AlbumCaptions()
        self._filtered: frozenset[int] = NONE
        """Sources of which a route has a filter."""

    def use_routes(self, routes: Mapping[int, tuple[Route, ...]]) -> None:
        """Judge by these from now on."""
        self._filtered = filtered(routes) or NONE

    def judge(self, message: Incoming, routes: Sequence[Route]) -> Sequence[Route] | None:
        """Return the routes that take a message; call it in the order of the messages.

        None: its album has to be read first, see ``judge_later``.
        """
        if message.chat not in self._filtered:
            return routes
        facts = self._albums.judged(TelegramFacts(message))
        return None if facts is None else accepting(facts, routes)

    async def judge_later(self, message: Incoming, routes: Sequence[Route]) -> Sequence[Route]:
        """Return the same; reads the message's album if it is not known, and waits for that."""
        facts: Facts | None
        pause = _RETRY_SECONDS
        while (facts := self._albums.judged(TelegramFacts(message))) is None:
            try:
                await self._read_album(message)
            except ToldToWaitError as error:
                await asyncio.sleep(error.seconds)
            except UnknownChatError as error:
                return _unjudged(routes, str(error))
            except errors.RPCError as error:
                if refuses_chat(error):
                    return _unjudged(routes, error_name(error))
                await asyncio.sleep(pause)
                pause = min(_RETRY_MAX, pause * 2)
            except (OSError, EOFError):
                # The session reconnects meanwhile, or ends.
                await asyncio.sleep(pause)
                pause = min(_RETRY_MAX, pause * 2)
        return accepting(facts, routes)

    async def _read_album(self, message: Incoming) -> None:
        """Read the neighbours of an item. Source: method/channels.getMessages."""
        ids = range(max(1, message.id - REACH), message.id + REACH + 1)
        found = await self._source.fetch(message.chat, ids)
        others = [TelegramFacts(it) for it in map(incoming, found) if it is not None]
        self._albums.learn(TelegramFacts(message), others)


def _unjudged(routes: Sequence[Route], reason: str) -> Sequence[Route]:
    text = f"its album cannot be read: {reason}"
    return [it if it.test is None else replace(it, unjudged=text) for it in routes]
