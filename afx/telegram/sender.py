"""Sends deliveries in order, and returns the outcome of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal

from telethon import errors, utils
from telethon.tl import functions, types

from afx.forwarding.live import is_live
from afx.forwarding.look import PLAIN, Look
from afx.forwarding.pipeline import Delivery
from afx.forwarding.topics import GENERAL
from afx.forwarding.whole_albums import units
from afx.reasons import DeadReason
from afx.telegram.building import NotBuiltError, build, unbuilt
from afx.telegram.buttons import hindrance, markup_of
from afx.telegram.client import AccountClient
from afx.telegram.errors import error_name, is_frozen, is_lost_login, is_passing, is_stale_reference
from afx.telegram.source_files import made_anew

Result = Literal["sent", "known", "wait", "failed", "again", "refused"]
_MAX_FORWARDS = 100
_PEER_FLOOD_SECONDS = 300.0
_FROZEN_SECONDS = 3_600.0
"""Telegram tells until when only in help.getAppConfig, and an appeal may end it before."""
_SAME_CALL = timedelta(seconds=2)
"""A message that is older than its answer by more was made by an earlier call."""
_LISTS = (types.Updates, types.UpdatesCombined)
_NOT_EXECUTED = frozenset({"MSG_WAIT_FAILED", "MSG_WAIT_TIMEOUT"})
"""The request before it failed, or took too long (api/invoking)."""
SKIPPED = "SKIPPED"
"""The reason of a forward that Telegram answers without having made a message."""
SPLIT = "split"
"""The reason to send each message of a request again by itself."""
_NO_PARENT = frozenset({"REPLY_MESSAGE_ID_INVALID", "REPLY_TO_INVALID", "MESSAGE_ID_INVALID"})
PARENT_GONE = "the message that it answers is gone"
"""The reason to send what answers a message that is gone again without that."""

PROTECTED = "CHAT_FORWARDS_RESTRICTED"
"""The reason to upload a file anew, where its rule says so, and to send it then."""

# Only the destination's owner or the customer can do something about these. A 406 that
# is no lost login refuses one request (TOPIC_CLOSED, PRIVACY_PREMIUM_REQUIRED).
_REFUSED = (
    errors.ForbiddenError,
    errors.BadRequestError,
    errors.NotFoundError,
    errors.AuthKeyError,
)


@dataclass(slots=True, frozen=True)
class Outcome:
    """What became of one delivery.

    ``sent``, ``known`` (it was sent before) and ``refused`` settle it; ``wait`` (a
    time that Telegram asks for), ``failed`` (try later, with back-off; among others
    when the first call is still running, RANDOM_ID_DUPLICATE) and ``again`` (at once)
    do not.
    """

    result: Result
    copy: int = 0
    seconds: float = 0.0
    reason: str = ""
    whole_account: bool = False
    """The wait is for all destinations."""
    dead: DeadReason | None = None
    """Why it is refused, if that is known better than by Telegram's error."""
    attempts: int = 1
    """How often it was tried."""
    is_earlier: bool = False
    """An earlier call has made the copy, with what the message was then."""


async def send(
    client: AccountClient,
    batch: Sequence[Delivery],
    peer: Callable[[int], Any],
    *,
    singly: bool = False,
) -> list[Outcome]:
    """Send deliveries to one destination, so that they arrive in their order.

    All requests go out at once, each to be run after the one before it
    (invokeAfterMsg), so order costs no round trips. With ``singly`` each
    forward is a request of its own. Raises ConnectionError when the connection
    is lost, and the error that says so when the login is (see ``is_lost_login``).
    What no request can be made of is refused, and what is beside it is sent.
    """
    peer(batch[0].destination)  # one that is unknown says nothing about the deliveries
    if (error := await hindrance(client, batch)) is not None:
        return [passing(error)] * len(batch)
    try:
        return await _send(client, _group(batch, singly), peer)
    except NotBuiltError:
        hindered = _hindered(batch, peer)
        if not hindered:
            if singly:
                raise
            return [Outcome("again", reason=SPLIT)] * len(batch)
    # What is behind one that is to be tried later waits for it.
    held = [index for index, it in hindered.items() if it.result == "failed"]
    cut = batch[: held[0]] if held else batch
    sound = [it for index, it in enumerate(cut) if index not in hindered]
    sent = iter(await send(client, sound, peer, singly=singly) if sound else ())
    outcomes = [hindered.get(index) or next(sent) for index in range(len(cut))]
    if held:
        behind = Outcome("again", reason="one before it is not sent yet")
        outcomes += [hindered[held[0]], *[behind] * (len(batch) - len(cut) - 1)]
    return outcomes


def _hindered(batch: Sequence[Delivery], peer: Callable[[int], Any]) -> dict[int, Outcome]:
    """Return the outcomes of what cannot be sent as it is, by its place."""
    found: dict[int, Outcome] = {}
    for index, it in enumerate(batch):
        if is_forward(it):
            try:
                peer(it.source)
            except ValueError:
                found[index] = Outcome("failed", reason=f"{it.source} is not known to the account")
                continue
        if reason := unbuilt(lambda its: _request([its], peer), it):
            found[index] = Outcome("refused", reason=reason)
    return found


async def _send(
    client: AccountClient, groups: Sequence[Sequence[Delivery]], peer: Callable[[int], Any]
) -> list[Outcome]:
    made = build(lambda group: _request(group, peer), groups)
    outcomes: list[Outcome] = []
    for group, answer in zip(groups, await client.run_in_order(made), strict=True):
        if isinstance(answer, errors.RPCError):
            if is_lost_login(answer):
                raise answer
            is_orphan = group[0].parent and error_name(answer) in _NO_PARENT
            refused = Outcome("again", reason=PARENT_GONE) if is_orphan else None
            if may_upload(group[0], error_name(answer)):
                refused = Outcome("again", reason=PROTECTED)
            if (
                len(group) > 1
                and not is_forward(group[0])
                and is_stale_reference(error_name(answer))
            ):
                # Which of the album's files it is, is not told: all are named anew.
                refused = Outcome("again", reason=error_name(answer))
            outcomes += [refused or failed(answer, len(group))] * len(group)
        else:
            outcomes += _sent(answer, group)
    return outcomes


def requests(batch: Sequence[Delivery], peer: Callable[[int], Any]) -> list[tuple[int, Any]]:
    """Return the requests that send deliveries in order, each with how many it sends."""
    return [(len(group), _request(group, peer)) for group in _group(batch, False)]


def _sent(answer: Any, group: Sequence[Delivery]) -> list[Outcome]:
    """Return the outcomes of a request that was not refused.

    A forward may skip some of its messages: those have no updateMessageID. A repeated
    call returns the messages of the first one (api/updates, random_id).
    """
    copies = copy_ids(answer)
    if 0 in copies:
        return [Outcome("sent", copies[0])]
    known = _older_than_answer(answer)
    skipped = (
        Outcome("again", reason=SPLIT) if len(group) > 1 else Outcome("refused", reason=SKIPPED)
    )
    return [
        Outcome("known", copies[it.random_id], is_earlier=True)
        if copies.get(it.random_id) in known
        else Outcome("sent", copies[it.random_id])
        if it.random_id in copies
        else skipped
        for it in group
    ]


def _older_than_answer(answer: Any) -> set[int]:
    """Return the ids of an answer's messages that this call cannot have made.

    Both dates are those of Telegram's clock.
    """
    if not isinstance(answer, _LISTS):
        return set()
    earliest = answer.date - _SAME_CALL
    messages = (getattr(it, "message", None) for it in answer.updates)
    return {it.id for it in messages if isinstance(it, types.Message) and it.date < earliest}


def copy_ids(answer: Any) -> dict[int, int]:
    """Return random_id → message id of a send's answer; 0 when it names no id."""
    if isinstance(answer, types.UpdateShortSentMessage):
        return {0: answer.id}
    return {
        update.random_id: update.id
        for update in getattr(answer, "updates", ())
        if isinstance(update, types.UpdateMessageID)
    }


def _group(batch: Sequence[Delivery], singly: bool) -> list[list[Delivery]]:
    """Put together what one request can carry: an album, or forwards, with whole albums."""
    if singly:
        return [[it] for it in batch]
    groups: list[list[Delivery]] = []
    for unit in units(batch, lambda it: it):
        last = groups[-1] if groups else None
        if (
            last
            and is_forward(unit[0])
            and is_forward(last[-1])
            and _forwarded_as(last[-1]) == _forwarded_as(unit[0])
            and len(last) + len(unit) <= _MAX_FORWARDS
        ):
            last += unit
        else:
            groups.append(unit)
    return groups


def _forwarded_as(it: Delivery) -> tuple[int, str, int, bool | None]:
    return it.source, it.mode, it.topic, is_silent(it)


def is_forward(delivery: Delivery) -> bool:
    """Return whether a delivery is sent by forwarding its message."""
    return delivery.mode == "forward" or delivery.needs_native_forward


def _request(group: Sequence[Delivery], peer: Callable[[int], Any]) -> Any:
    first = group[0]
    if is_forward(first):
        return functions.messages.ForwardMessagesRequest(
            from_peer=peer(first.source),
            id=[it.message for it in group],
            random_id=[it.random_id for it in group],
            to_peer=peer(first.destination),
            drop_author=first.mode == "copy" or None,
            silent=is_silent(first),
            top_msg_id=_topic(first) or None,
        )
    to = peer(first.destination)
    answers = _answers(first)
    if len(group) > 1:
        return functions.messages.SendMultiMediaRequest(
            to,
            [
                types.InputSingleMedia(
                    it.uploaded or input_media(it.raw),
                    it.text,
                    random_id=it.random_id,
                    entities=_entities(it),
                )
                for it in group
            ],
            reply_to=answers,
            silent=is_silent(first),
            invert_media=is_above(first),
        )
    if first.raw is not None:
        return functions.messages.SendMediaRequest(
            to,
            first.uploaded or input_media(first.raw),
            first.text,
            random_id=first.random_id,
            entities=_entities(first),
            reply_to=answers,
            silent=is_silent(first),
            invert_media=is_above(first),
            reply_markup=markup_of(first),
        )
    return functions.messages.SendMessageRequest(
        to,
        first.text,
        random_id=first.random_id,
        entities=_entities(first),
        no_webpage=has_no_preview(first),
        reply_to=answers,
        silent=is_silent(first),
        invert_media=is_above(first),
        reply_markup=markup_of(first),
    )


def may_upload(delivery: Delivery, name: str) -> bool:
    """Return whether a refusal, by its name, says that a file is to be uploaded anew."""
    return name == PROTECTED and delivery.reupload == "may" and delivery.uploaded is None


def is_silent(delivery: Delivery) -> bool | None:
    """Return whether a copy makes no sound, as its message made none; None: it does."""
    return (delivery.look is not PLAIN and Look.SILENT in delivery.look) or None


def is_above(delivery: Delivery) -> bool | None:
    """Return whether the text stands above what is shown with it; None: below."""
    return (delivery.look is not PLAIN and Look.ABOVE in delivery.look) or None


def has_no_preview(delivery: Delivery) -> bool | None:
    """Return whether the message shows no preview of its link; None: Telegram decides."""
    return (delivery.look is not PLAIN and Look.NO_PREVIEW in delivery.look) or None


def _topic(delivery: Delivery) -> int:
    """Return the topic that a request names: General is the one without (api/forum)."""
    return 0 if delivery.topic == GENERAL else delivery.topic


def _answers(delivery: Delivery) -> Any:
    """Return what a send answers, and where it lies; what answers nothing names its topic's start.

    Source: core.telegram.org/constructor/inputReplyToMessage and api/forum.
    """
    topic = _topic(delivery)
    if delivery.parent:
        return types.InputReplyToMessage(delivery.parent, top_msg_id=topic or None)
    return types.InputReplyToMessage(topic) if topic else None


def input_media(message: Any) -> Any:
    """Return a message's file by reference (core.telegram.org/api/file-references).

    A live location is made anew.
    """
    media = message.media
    if is_live(message):
        return made_anew(message)
    if isinstance(media, types.MessageMediaPhoto):
        return types.InputMediaPhoto(utils.get_input_photo(media.photo), spoiler=media.spoiler)
    return types.InputMediaDocument(utils.get_input_document(media.document), spoiler=media.spoiler)


def _entities(delivery: Delivery) -> list[Any] | None:
    return [it for it in delivery.entities if sendable(it)] or None


def sendable(entity: Any) -> bool:
    """Return whether an entity may be sent."""
    # A mention by id needs an access hash that only its author's account has.
    return not isinstance(entity, types.MessageEntityMentionName)


def passing(error: errors.RPCError) -> Outcome:
    """Return the outcome of what an error holds up that says nothing about it."""
    outcome = failed(error, 1)
    return outcome if outcome.result == "wait" else replace(outcome, result="failed")


def failed(error: errors.RPCError, size: int) -> Outcome:
    """Return the outcome of a request about so many deliveries that Telegram refused."""
    name = error_name(error)
    seconds = getattr(error, "seconds", None)
    if seconds is not None:
        return Outcome("wait", seconds=max(1.0, float(seconds)), reason=name)
    if isinstance(error, errors.PeerFloodError):
        # Telegram takes it for spam, for a time that it does not tell.
        return Outcome("wait", seconds=_PEER_FLOOD_SECONDS, reason=name, whole_account=True)
    if is_frozen(name):
        return Outcome("wait", seconds=_FROZEN_SECONDS, reason=name, whole_account=True)
    if name in _NOT_EXECUTED:
        return Outcome("again", reason=name)
    if isinstance(error, _REFUSED) and not is_passing(name):
        if size > 1:
            return Outcome("again", reason=SPLIT)
        # A file whose reference has expired is fetched and sent again (api/file-references).
        return Outcome("again" if is_stale_reference(name) else "refused", reason=name)
    return Outcome("failed", reason=name)
