"""Makes changes of copies, in order: edits, deletes, pins.

A change is made once or many times with the same effect, so what got no answer is simply
made again. What Telegram says has no effect, or is about a copy that is gone, is done.
Source: the pages of the methods messages.editMessage, messages.deleteMessages,
channels.deleteMessages and messages.updatePinnedMessage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from telethon import errors, utils
from telethon.tl import functions, types

from afx.forwarding.live import is_live, is_over
from afx.forwarding.pipeline import Delivery
from afx.telegram.building import NotBuiltError, build, unbuilt
from afx.telegram.buttons import hindrance, markup_of
from afx.telegram.client import AccountClient
from afx.telegram.errors import error_name, is_about_request, is_lost_login
from afx.telegram.facts import media_kind
from afx.telegram.sender import (
    PROTECTED,
    Outcome,
    failed,
    has_no_preview,
    input_media,
    is_above,
    may_upload,
    passing,
    sendable,
)
from afx.telegram.source_files import moved

KNOWN = Outcome("known")
_DONE = frozenset({"MESSAGE_NOT_MODIFIED", "CHAT_NOT_MODIFIED", "MESSAGE_ID_INVALID"})
_TOO_LATE = "MESSAGE_EDIT_TIME_EXPIRED"
_SETTLED = frozenset({"known", "refused"})
_AFTER_A_FAILED = "a change before it was not made"
_MOST_DELETED = 100
_MOST_AT_ONCE = 10
"""Requests that are sent at once; each of them may be told to wait."""
WITH_FILE = frozenset({"photo", "video", "document", "audio", "animation"})
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
    if hindered := await _check_deletes(client, batch, peer):
        return [hindered] * len(batch)
    if (error := await hindrance(client, batch)) is not None:
        return [passing(error)] * len(batch)
    outcomes: list[Outcome] = []
    for groups in _rounds(_groups(batch, singly)):
        asked = [it for it in groups if _is_asked(it[0])]
        answers = iter(await _answers(client, asked, lambda it: _request(it, peer)))
        for group in groups:
            answer = next(answers) if _is_asked(group[0]) else None
            outcomes += [_outcome(group, answer, client.edit_seconds)] * len(group)
        if any(it.result not in _SETTLED for it in outcomes):
            break
    # What is behind one that failed is made when that has been.
    return outcomes + [Outcome("again", reason=_AFTER_A_FAILED)] * (len(batch) - len(outcomes))


async def _answers(
    client: AccountClient,
    groups: Sequence[Sequence[Delivery]],
    make: Callable[[Sequence[Delivery]], Any],
) -> list[Any]:
    """Return the answer to each group's request, or why none can be made."""
    if not groups:
        return []
    try:
        return await client.run_in_order(build(make, groups), ordered=False)
    except NotBuiltError:
        reasons = [unbuilt(make, it) for it in groups]
        if not any(reasons):
            raise
    sound = [it for it, reason in zip(groups, reasons, strict=True) if not reason]
    answers = iter(await _answers(client, sound, make))
    return [NotBuiltError(reason) if reason else next(answers) for reason in reasons]


async def _check_deletes(
    client: AccountClient, batch: Sequence[Delivery], peer: Callable[[int], Any]
) -> Outcome | None:
    """Let deletes outside channels be of the account's own messages in their destination only.

    Such a request names ids only, which all of the account's private chats and groups share:
    a wrong link would take a message away from somewhere else. Others are deletes without a
    copy. Returns why the messages cannot be read now; None when they could be.
    """
    deletes = [it for it in batch if it.op == "delete" and it.copy]
    if not deletes or isinstance(peer(deletes[0].destination), types.InputPeerChannel):
        return None
    ids = [types.InputMessageID(it.copy) for it in deletes]
    [page] = await client.run_in_order([functions.messages.GetMessagesRequest(ids)])
    if isinstance(page, errors.RPCError):
        if is_lost_login(page):
            raise page
        outcome = failed(page, 1)
        return outcome if outcome.result == "wait" else Outcome("failed", reason=outcome.reason)
    # What an account posts to its saved messages need not count as outgoing.
    own = {it.id for it in page.users if getattr(it, "is_self", False)}
    theirs = {
        it.id
        for it in page.messages
        if isinstance(it, types.Message)
        and utils.get_peer_id(it.peer_id) == deletes[0].destination
        and (it.out or deletes[0].destination in own)
    }
    for it in deletes:
        if it.copy not in theirs:
            it.copy = 0
    return None


def _outcome(group: Sequence[Delivery], answer: Any, edit_seconds: int) -> Outcome:
    """Return the outcome of each change of a group; raises the error of a lost login.

    ``edit_seconds``: for how long the server takes edits, 0 where that is not known.
    """
    if group[0].copy and group[0].error:
        return Outcome("refused", reason=group[0].error)
    if isinstance(answer, NotBuiltError):
        return Outcome("refused", reason=str(answer))
    if not isinstance(answer, errors.RPCError):
        return KNOWN
    if is_lost_login(answer):
        raise answer
    if group[0].op == "edit" and may_upload(group[0], error_name(answer)):
        return Outcome("again", reason=PROTECTED)
    if is_live(group[0].whole) and is_over(group[0].whole) and is_about_request(answer):
        return KNOWN  # the copy has stopped by itself, or has never moved
    if error_name(answer) in _DONE and len(group) == 1:
        return KNOWN
    outcome = failed(answer, len(group))
    if outcome.reason == _TOO_LATE and edit_seconds:
        # That of the account, which Telegram may change (constructor/config, edit_time_limit).
        return replace(outcome, reason=f"{_TOO_LATE}: it takes edits for {_span(edit_seconds)}")
    return outcome


def _span(seconds: int) -> str:
    hours = seconds // 3_600
    return f"{hours:,} hours" if hours and seconds % 3_600 == 0 else f"{seconds:,} seconds"


def _rounds(groups: Iterable[list[Delivery]]) -> Iterator[list[list[Delivery]]]:
    """Cut groups, in their order, into rounds that change each copy once at most.

    Requests of a round are not to wait for each other: one that has no effect is answered
    with an error, which would refuse those behind it.
    """
    found: list[list[Delivery]] = []
    copies: set[int] = set()
    for group in groups:
        theirs = {it.copy for it in group if it.copy}
        if len(found) >= _MOST_AT_ONCE or theirs & copies:
            yield found
            found, copies = [], set()
        found.append(group)
        copies |= theirs
    if found:
        yield found


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
    if first.op == "edit" and is_live(first.whole):
        return functions.messages.EditMessageRequest(chat, first.copy, media=moved(first.whole))
    if first.op == "edit":
        media = None
        if media_kind(first.whole) in WITH_FILE and not isinstance(
            first.uploaded, types.InputMediaEmpty
        ):
            media = first.uploaded or input_media(first.whole)
        return functions.messages.EditMessageRequest(
            chat,
            first.copy,
            message=first.text,
            media=media,
            entities=[it for it in first.entities if sendable(it)] or None,
            no_webpage=has_no_preview(first),
            invert_media=is_above(first),
            reply_markup=markup_of(first),
        )
    unpin = first.op == "unpin"
    return functions.messages.UpdatePinnedMessageRequest(chat, first.copy, silent=True, unpin=unpin)
