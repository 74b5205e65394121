"""Uploads files anew that Telegram does not let a lane send on, where their rule says so.

That a chat forbids to save its files is learned from Telegram's refusal, and remembered for a
while. Until a file is uploaded its lane waits, and gives what it holds to its outbox; other
lanes go on. An album is uploaded as a whole, and sent as one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from telethon.tl import types

from afx.forwarding.pipeline import Delivery
from afx.forwarding.whole_albums import units
from afx.node.lane_owner import LaneOwner
from afx.node.lane_queue import Entry
from afx.node.pace import Pace
from afx.reasons import DeadReason
from afx.telegram.change_sender import WITH_FILE
from afx.telegram.facts import media_kind
from afx.telegram.sender import Outcome
from afx.telegram.source_files import NotMadeAnewError, made_anew, source_file
from afx.telegram.uploads import StaleFileError, TransferError

if TYPE_CHECKING:
    from afx.telegram.peers import Peers

PARK_SECONDS = 30.0
"""A lane whose file takes longer gives what it holds to its outbox."""
_KNOWN_SECONDS = 600.0
"""For so long a chat counts as one that forbids to save its files."""
_MOST_STALE = 3
"""Times that a message is read anew since its file has another name by now."""
_GONE = Outcome(
    "refused", reason="it was deleted before it could be sent", dead=DeadReason.MESSAGE_GONE
)
_WITHOUT = types.InputMediaEmpty()
"""In that place: the copy has the file already, or the message is gone."""

Read = Callable[..., Awaitable[Sequence[Any] | None]]
"""Reads messages of deliveries anew; None when that cannot be done now."""


class Reuploads:
    """What one lane uploads before it sends it."""

    __slots__ = ("_owner", "_pace", "_peers", "_protected", "_stale")

    def __init__(self, owner: LaneOwner, pace: Pace, peers: Peers) -> None:
        self._owner = owner
        self._pace = pace
        self._peers = peers
        self._protected: dict[int, float] | None = None
        """source → until when it counts as one that forbids to save its files."""
        self._stale = 0

    def refused(self, delivery: Delivery) -> None:
        """Telegram does not let a delivery's file be sent on: it is uploaded next."""
        delivery.reupload = "must"

    def expired(self, batch: Sequence[Delivery]) -> bool:
        """What was uploaded is of no use any more: it is uploaded once more.

        False: it was not uploaded at all.
        """
        found = False
        for it in batch:
            if it.uploaded is not None and it.uploaded is not _WITHOUT:
                if it.made is not None:
                    self._owner.transfers.forget(it.made.file)
                    it.uploaded, found = None, True
                    continue
                file = source_file(it.whole if it.op == "edit" else it.raw)
                if file is not None:
                    self._owner.transfers.forget(file)
                    it.reupload, it.uploaded = "must", None
                    found = True
        return found

    def left(self, delivery: Delivery) -> None:
        """A delivery has left its lane: remember which file its copy has."""
        self._stale = 0
        if delivery.made is not None:
            # A large one takes its time.
            asyncio.get_running_loop().run_in_executor(None, delivery.made.file.remove)
        if delivery.uploaded is None or delivery.uploaded is _WITHOUT or delivery.made:
            return
        message = delivery.whole if delivery.op == "edit" else delivery.raw
        try:
            file = source_file(message)
        except NotMadeAnewError:
            return
        if file is not None:
            self._owner.transfers.note_made(_key(delivery), file)

    async def prepare(
        self, batch: Sequence[Entry], read: Read
    ) -> tuple[Sequence[Entry], list[Outcome]]:
        """Return the first of a batch that are sent, or the first that are not, with outcomes.

        Nothing of both: they are to be tried again. Raises ConnectionError, and the error of a
        lost login.
        """
        if batch[0][0].op == "edit":
            await self._owner.find_copies([it for it, _ in batch])
        count = 0
        for unit in units(batch, lambda it: it[0]):
            them = [it for it, _ in unit]
            if any(map(self._is_due, them)):
                if count:
                    break
                return await self._prepare_first(unit, them, read)
            count += len(unit)
        return batch[:count], []

    def _is_due(self, it: Delivery) -> bool:
        if not (it.reupload or it.made) or it.uploaded is not None:
            return False
        if it.op == "edit":
            has_media = bool(it.copy) and media_kind(it.whole) in WITH_FILE
        else:
            has_media = it.op == "send" and (it.needs_native_forward or it.raw is not None)
        if not has_media or self._owner.pools.has(it):
            return False
        return bool(it.made) or it.reupload == "must" or self._is_protected(it.source)

    def _is_protected(self, source: int) -> bool:
        if self._protected is None:
            return False
        return self._protected.get(source, 0.0) > asyncio.get_running_loop().time()

    async def _prepare_first(
        self, unit: Sequence[Entry], them: Sequence[Delivery], read: Read
    ) -> tuple[Sequence[Entry], list[Outcome]]:
        due = [it for it in them if self._is_due(it)]
        is_made = all(it.made for it in due)  # the others of its album need not be uploaded
        messages = {it.message: it.whole for it in due}
        if not is_made:
            read_now = await self._messages(them, read)
            if read_now is None:
                return [], []
            due, messages = list(them), read_now
        if not messages:
            return unit, [_GONE] * len(unit)
        if not is_made and not any(getattr(it, "noforwards", False) for it in messages.values()):
            until = asyncio.get_running_loop().time() + _KNOWN_SECONDS
            self._protected = {**(self._protected or {}), them[0].source: until}
        timer = asyncio.get_running_loop().call_later(PARK_SECONDS, self._pace.park)
        try:
            found = [(it, await self._media(it, messages.get(it.message))) for it in due]
        except NotMadeAnewError as error:
            return unit, [Outcome("refused", reason=str(error))] * len(unit)
        except StaleFileError as error:
            self._stale += 1
            if self._stale > _MOST_STALE:
                return unit, [Outcome("refused", reason=str(error))] * len(unit)
            for it in them:
                if it.op == "edit":
                    it.whole = None  # it is read anew
            return [], []
        except TransferError as error:
            if error.is_final and (made := [it for it in due if it.made]):
                for it in made:
                    it.verdict, it.made = it.made.refused(str(error)), None
                return [], []  # as the rule says: without it, or not at all
            result = Outcome("refused" if error.is_final else "failed", reason=str(error))
            return unit, [result] * len(unit)
        finally:
            timer.cancel()
        for it, media in found:
            it.uploaded = media
            if it.op == "send" and media is not _WITHOUT:
                it.raw, it.needs_native_forward = messages[it.message], False
        return unit, []

    async def _messages(self, them: Sequence[Delivery], read: Read) -> dict[int, Any] | None:
        """Return the messages of an album, or of one delivery, as they are now, by their ids."""
        first = them[0]
        if first.op == "edit" and first.whole is not None and not self._stale:
            return {first.message: first.whole}
        found = await read(*them)
        if found is None:
            return None
        if first.op == "edit" and found:
            first.whole = found[0]
        return {it.id: it for it in found}

    async def _media(self, it: Delivery, message: Any) -> Any:
        """Return what a delivery is sent by."""
        if message is None or it.uploaded is _WITHOUT:
            return _WITHOUT
        if it.made is not None:
            peer = self._peers.input_peer(it.destination)
            media = await self._owner.transfers.upload(it.made.file, peer)
            return _covered(media, message.media.spoiler)
        file = source_file(message)
        if file is None:
            return made_anew(message)
        transfers = self._owner.transfers
        if it.op == "edit" and transfers.has_made(_key(it), file):
            return _WITHOUT
        media = await transfers.upload(file, self._peers.input_peer(it.destination))
        return _covered(media, message.media.spoiler)


def set_gone(delivery: Delivery) -> None:
    """A message was deleted before its file was read."""
    delivery.uploaded = _WITHOUT


def is_gone(delivery: Delivery) -> bool:
    """Return whether a message was deleted while its album was uploaded."""
    return delivery.uploaded is _WITHOUT


def with_gone(batch: Sequence[Delivery], sent: Sequence[Outcome]) -> list[Outcome]:
    """Return the outcomes of a batch of which those that are gone were not sent."""
    made = iter(sent)
    return [_GONE if is_gone(it) else next(made) for it in batch]


def _covered(media: Any, spoiler: bool | None) -> Any:
    """Return the media of an upload as one message shows it."""
    made = type(media)(media.id)
    made.spoiler = spoiler or None
    return made


def _key(it: Delivery) -> tuple[int, int, int, int]:
    return it.rule, it.source, it.message, it.destination
