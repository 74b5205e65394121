"""Makes changes of copies, in order: edits, deletes, pins.

A change is made once or many times with the same effect, so what got no answer is simply
made again. What Telegram says has no effect, or is about a copy that is gone, is done.
Source: the pages of the methods messages.editMessage, messages.deleteMessages,
channels.deleteMessages and messages.updatePinnedMessage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from telethon import errors
from telethon.tl import functions, types

from afx.forwarding.pipeline import Delivery
from afx.telegram.client import AccountClient
from afx.telegram.errors import error_name, is_lost_login
from afx.telegram.facts import media_kind
from afx.telegram.sender import Outcome, failed, input_media, sendable

KNOWN = Outcome("known")
_DONE = frozenset({"MESSAGE_NOT_MODIFIED", "CHAT_NOT_MODIFIED", "MESSAGE_ID_INVALID"})
_MOST_DELETED = 100
_WITH_FILE = frozenset({"photo", "video", "document", "audio", "animation"})
"""Kinds whose file an edit may replace; a voice note's it may not."""


async def send_changes(
    client: AccountClient,
    batch: Sequence[Delivery],
    peer: Callable[[int], Any],
    *,
    singly: bool = False,
) -> list[Outcome]:
    """Make changes of one destination's copies; returns the outcome of each.

    Those without a copy are done; an edit with an error is refused. Raises as ``sender.send`` does.
    """
    groups = _groups(batch, singly)
    requests = [_request(group, peer) for group in groups if _is_asked(group[0])]
    answers = iter(await client.run_in_order(requests)) if requests else iter(())
    outcomes: list[Outcome] = []
    for group in groups:
        first = group[0]
        answer = next(answers) if _is_asked(first) else None
        if first.copy and first.error:
            outcomes.append(Outcome("refused", reason=first.error))
        elif not isinstance(answer, errors.RPCError):
            outcomes += [KNOWN] * len(group)
        elif is_lost_login(answer):
            raise answer
        elif error_name(answer) in _DONE and len(group) == 1:
            outcomes.append(KNOWN)
        else:
            outcomes += [failed(answer, len(group))] * len(group)
    return outcomes


def _is_asked(it: Delivery) -> bool:
    return bool(it.copy) and not it.error


def _groups(batch: Sequence[Delivery], singly: bool) -> list[list[Delivery]]:
    """Put neighbours together that one request deletes."""
    groups: list[list[Delivery]] = []
    for it in batch:
        last = groups[-1] if groups else None
        if (
            last
            and not singly
            and it.op == last[0].op == "delete"
            and bool(it.copy) is bool(last[0].copy)
            and len(last) < _MOST_DELETED
        ):
            last.append(it)
        else:
            groups.append([it])
    return groups


def _request(group: Sequence[Delivery], peer: Callable[[int], Any]) -> Any:
    first = group[0]
    chat = peer(first.destination)
    if first.op == "delete":
        ids = [it.copy for it in group]
        if isinstance(chat, types.InputPeerChannel):
            return functions.channels.DeleteMessagesRequest(chat, ids)
        return functions.messages.DeleteMessagesRequest(ids, revoke=True)
    if first.op == "edit":
        file = media_kind(first.whole) in _WITH_FILE
        return functions.messages.EditMessageRequest(
            chat,
            first.copy,
            message=first.text,
            media=input_media(first.whole) if file else None,
            entities=[it for it in first.entities if sendable(it)] or None,
        )
    unpin = first.op == "unpin"
    return functions.messages.UpdatePinnedMessageRequest(chat, first.copy, silent=True, unpin=unpin)
