"""Downloads files of chats that forbid to save them, and uploads them anew, part by part.

No more than one part of a file is in memory, and no more than some parts of all files of a
process. What an upload has got so far is kept while the account is online: a wait that
Telegram asks for, a lost connection and an expired reference cost no part twice. A file
that goes to several destinations is transferred once.
Source: core.telegram.org/api/files.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from hashlib import md5
from typing import Any

from telethon import errors
from telethon.tl import functions, types

from afx.telegram.budgets import method_name
from afx.telegram.client import AccountClient
from afx.telegram.errors import error_name, is_about_request, is_lost_login, is_stale_reference
from afx.telegram.file_requests import AwayError, FileRequests
from afx.telegram.source_files import SourceFile
from afx.telegram.uploads import (
    BIG_BYTES,
    MOST_PARTS,
    MOST_PARTS_PREMIUM,
    FileWaitError,
    StaleFileError,
    Transfer,
    TransferError,
    TransferWaits,
    part_bytes,
    require_size,
    save_request,
    sent_as,
)

Parts = asyncio.Semaphore
PARTS_AT_ONCE = 4
"""Parts that all sessions of a process have in memory."""
_THUMB_BYTES = 256 * 1024
_KEPT = 32
"""Files that were uploaded last, or are being."""
_REMEMBERED = 500
"""Copies of which it is known which file they have."""
_UNKNOWN_SECONDS = 60.0
"""A wait whose length Telegram does not tell (FROZEN_METHOD_INVALID)."""
_MOST_TRIES = 3
"""Uploads of one file of which Telegram has lost parts."""
_RANDOM = random.Random()
_GET = method_name(functions.upload.GetFileRequest)
_SAVE = method_name(functions.upload.SaveFilePartRequest)
_UPLOAD = method_name(functions.messages.UploadMediaRequest)


class Transfers:
    """The files that one session uploads."""

    __slots__ = (
        "_client",
        "_made",
        "_note_wait",
        "_parts",
        "_requests",
        "_rng",
        "_transfers",
        "_waits",
    )

    def __init__(
        self,
        client: AccountClient,
        waits: TransferWaits,
        note_wait: Callable[[str, float, str], None],
        parts: Parts | None = None,
        rng: random.Random = _RANDOM,
    ) -> None:
        """``note_wait`` takes a method, seconds and a reason; ``parts`` bounds all sessions'."""
        self._client = client
        self._waits = waits
        self._note_wait = note_wait
        self._parts = parts or Parts(PARTS_AT_ONCE)
        self._rng = rng
        self._requests: FileRequests | None = None
        self._transfers: dict[int, Transfer] = {}
        self._made: dict[tuple[int, int, int, int], int] = {}

    async def upload(self, file: SourceFile, peer: Any) -> Any:
        """Return the media by which a file is sent; it is transferred if it was not.

        ``peer`` is the chat that it is for. Raises StaleFileError, TransferError, the error
        of a lost login, and ConnectionError. What was done is not done again.
        """
        new = Transfer(self._rng.getrandbits(63), file.data_centre)
        transfer = self._transfers.pop(file.id, new)
        self._transfers[file.id] = transfer
        self._forget_some()
        async with transfer.lock:
            while transfer.media is None:
                try:
                    await self._run(transfer, file, peer)
                except FileWaitError as wait:
                    self._note_wait(wait.method, wait.seconds, str(wait))
                    await self._wait_for(wait.method)
                except (AwayError, errors.RPCError) as error:
                    self._judge(transfer, error)
            return transfer.media

    def has_made(self, copy: tuple[int, int, int, int], file: SourceFile) -> bool:
        """Return whether a copy, by rule, source, message and destination, has this file."""
        return self._made.get(copy) == file.id

    def note_made(self, copy: tuple[int, int, int, int], file: SourceFile) -> None:
        """Remember which file a copy has: an edit of its text need not upload it once more."""
        self._made.pop(copy, None)
        self._made[copy] = file.id
        if len(self._made) > _REMEMBERED:
            del self._made[next(iter(self._made))]

    def forget(self, file: SourceFile) -> None:
        """Let a file be transferred once more: what it was sent by is of no use any more."""
        transfer = self._transfers.get(file.id)
        if transfer is not None and transfer.media is not None:
            del self._transfers[file.id]

    def end_idle(self) -> None:
        """Let connections end that nobody has used for a while."""
        if self._requests:
            self._requests.end_idle()

    async def stop(self) -> None:
        """End what runs in the background."""
        if self._requests is not None:
            await self._requests.stop()

    def _forget_some(self) -> None:
        idle = [it for it, transfer in self._transfers.items() if not transfer.lock.locked()]
        for it in idle[: max(0, len(self._transfers) - _KEPT)]:
            del self._transfers[it]

    async def _run(self, transfer: Transfer, file: SourceFile, peer: Any) -> None:
        size, part = file.size, part_bytes(file.size)
        count = -(-size // part)
        await self._require_size(size, count)
        is_big = size > BIG_BYTES
        if transfer.digest is None and not is_big:
            transfer.digest = md5(usedforsecurity=False)
        while transfer.done < count:
            number = transfer.done
            want = min(part, size - number * part)
            await self._part(transfer, file.location, number, part, want, count if is_big else 0)
        if transfer.thumb is None and file.thumb:
            transfer.thumb = await self._thumb(transfer, *file.thumb)
        uploaded: Any = types.InputFileBig(transfer.number, count, file.name)
        if not is_big:
            checksum = transfer.digest.hexdigest()
            uploaded = types.InputFile(transfer.number, count, file.name, checksum)
        media = file.uploaded(uploaded, transfer.thumb or None)
        await self._wait_for(_UPLOAD)
        made = await self._ask(functions.messages.UploadMediaRequest(peer, media))
        transfer.media = sent_as(made)

    async def _part(
        self, transfer: Transfer, location: Any, number: int, part: int, want: int, total: int
    ) -> None:
        """Download one part and upload it; ``total``: the parts of a big file."""
        kind = save_request(total)
        await self._wait_for(method_name(kind), _GET)
        async with self._parts:
            data = await self._read(transfer, location, number * part, part)
            if len(data) != want:
                raise TransferError("its file has not the size that Telegram says", is_final=True)
            numbers = (number, total) if total else (number,)
            await self._ask(kind(transfer.number, *numbers, data))
        if not total:
            transfer.digest.update(data)
        transfer.done += 1

    async def _thumb(self, transfer: Transfer, location: Any, size: int) -> Any:
        await self._wait_for(_GET, _SAVE)
        async with self._parts:
            try:
                data = await self._read(transfer, location, 0, _THUMB_BYTES)
            except errors.RPCError as error:
                if is_stale_reference(error_name(error)) or not is_about_request(error):
                    raise
                data = b""
            number = self._rng.getrandbits(63)
            if not 0 < len(data) <= size:
                return False  # it is shown without one
            await self._ask(functions.upload.SaveFilePartRequest(number, 0, data))
        return types.InputFile(number, 1, "thumb.jpg", "")

    async def _read(self, transfer: Transfer, location: Any, offset: int, limit: int) -> bytes:
        request = functions.upload.GetFileRequest(location, offset, limit)
        try:
            answer = await self._ask(request, transfer.data_centre)
        except errors.FileMigrateError as error:
            transfer.data_centre = error.new_dc
            answer = await self._ask(request, transfer.data_centre)
        if not isinstance(answer, types.upload.File):
            raise TransferError("its file lies where afx cannot fetch it (CDN)", is_final=True)
        return bytes(answer.bytes)

    async def _ask(self, request: Any, data_centre: int = 0) -> Any:
        """Return an answer; raises FileWaitError where Telegram wants a wait."""
        method = method_name(type(request))
        self._waits.take(method)
        if self._requests is None:
            self._requests = FileRequests(self._client)
        try:
            return await self._requests.ask(request, data_centre)
        except errors.FloodError as error:
            seconds = max(1.0, float(getattr(error, "seconds", None) or _UNKNOWN_SECONDS))
            name = error_name(error)
            if isinstance(error, errors.FloodPremiumWaitError):
                name = f"speed limit: {name}"  # it makes no budget smaller
            raise FileWaitError(method, seconds, name) from error

    async def _wait_for(self, *methods: str) -> None:
        while (left := max(map(self._waits.held, methods))) > 0:  # noqa: ASYNC110
            await asyncio.sleep(left)

    async def _require_size(self, size: int, count: int) -> None:
        """Raise TransferError for a file that the account may not upload."""
        is_premium = False
        if MOST_PARTS < count <= MOST_PARTS_PREMIUM:
            [me] = await self._ask(functions.users.GetUsersRequest([types.InputUserSelf()]))
            is_premium = bool(me.premium)
        require_size(size, count, is_premium=is_premium)

    def _judge(self, transfer: Transfer, error: Exception) -> None:
        """Go on where an error lets it: raises what its caller is to know."""
        if not isinstance(error, errors.RPCError):
            raise TransferError(str(error), is_final=False) from error
        if is_lost_login(error):
            raise error
        name = error_name(error)
        if is_stale_reference(name):
            raise StaleFileError(name) from error
        if name.upper().replace("_", "").startswith("FILEPART") and transfer.tries < _MOST_TRIES:
            # Telegram keeps parts for some minutes at least, and for some hours at most.
            transfer.begin_anew(self._rng.getrandbits(63))
            return
        raise TransferError(name, is_final=is_about_request(error)) from error
