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
from collections.abc import Awaitable, Callable
from hashlib import md5
from typing import Any

from telethon import errors
from telethon.tl import functions, types

from afx.telegram.budgets import method_name
from afx.telegram.client import AccountClient
from afx.telegram.errors import error_name, is_about_request, is_lost_login, is_stale_reference
from afx.telegram.file_requests import AwayError
from afx.telegram.local_files import LocalFile
from afx.telegram.paced_files import PacedFiles
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
_MOST_TRIES = 3
"""Uploads of one file of which Telegram has lost parts."""
_RANDOM = random.Random()
_GET = method_name(functions.upload.GetFileRequest)
_SAVE = method_name(functions.upload.SaveFilePartRequest)
_UPLOAD = method_name(functions.messages.UploadMediaRequest)


class Transfers:
    """The files that one session uploads."""

    __slots__ = (
        "_files",
        "_made",
        "_note_wait",
        "_parts",
        "_rng",
        "_transfers",
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
        self._files = PacedFiles(client, waits)
        self._note_wait = note_wait
        self._parts = parts or Parts(PARTS_AT_ONCE)
        self._rng = rng
        self._transfers: dict[int, Transfer] = {}
        self._made: dict[tuple[int, int, int, int], int] = {}

    async def upload(self, file: SourceFile | LocalFile, peer: Any) -> Any:
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
                except (FileWaitError, AwayError, errors.RPCError) as error:
                    await self._judge(transfer, error)
            return transfer.media

    async def download(self, file: SourceFile, keep: Callable[[bytes], Awaitable[None]]) -> None:
        """Download a file, and let ``keep`` store one part after the other. Raises as ``upload``.

        Nothing of it is kept here.
        """
        transfer = Transfer(0, file.data_centre)
        size, part = file.size, part_bytes(file.size)
        while transfer.done * part < size:
            try:
                await self._files.wait_for(_GET)
                async with self._parts:
                    await keep(await self._data(transfer, file, part))
                transfer.done += 1
            except (FileWaitError, AwayError, errors.RPCError) as error:
                await self._judge(transfer, error)

    def has_made(self, copy: tuple[int, int, int, int], file: SourceFile) -> bool:
        """Return whether a copy, by rule, source, message and destination, has this file."""
        return self._made.get(copy) == file.id

    def note_made(self, copy: tuple[int, int, int, int], file: SourceFile) -> None:
        """Remember which file a copy has: an edit of its text need not upload it once more."""
        self._made.pop(copy, None)
        self._made[copy] = file.id
        if len(self._made) > _REMEMBERED:
            del self._made[next(iter(self._made))]

    def forget(self, file: SourceFile | LocalFile) -> None:
        """Let a file be transferred once more: what it was sent by is of no use any more."""
        transfer = self._transfers.get(file.id)
        if transfer is not None and transfer.media is not None:
            del self._transfers[file.id]

    def end_idle(self) -> None:
        """Let connections end that nobody has used for a while."""
        self._files.end_idle()

    async def stop(self) -> None:
        """End what runs in the background."""
        await self._files.stop()

    def _forget_some(self) -> None:
        idle = [it for it, transfer in self._transfers.items() if not transfer.lock.locked()]
        for it in idle[: max(0, len(self._transfers) - _KEPT)]:
            del self._transfers[it]

    async def _run(self, transfer: Transfer, file: SourceFile | LocalFile, peer: Any) -> None:
        size, part = file.size, part_bytes(file.size)
        count = -(-size // part)
        await self._require_size(size, count)
        is_big = size > BIG_BYTES
        if transfer.digest is None and not is_big:
            transfer.digest = md5(usedforsecurity=False)
        while transfer.done < count:
            await self._part(transfer, file, part, count if is_big else 0)
        if transfer.thumb is None and file.thumb:
            transfer.thumb = await self._thumb(transfer, *file.thumb)
        uploaded: Any = types.InputFileBig(transfer.number, count, file.name)
        if not is_big:
            checksum = transfer.digest.hexdigest()
            uploaded = types.InputFile(transfer.number, count, file.name, checksum)
        media = file.uploaded(uploaded, transfer.thumb or None)
        await self._files.wait_for(_UPLOAD)
        made = await self._files.ask(functions.messages.UploadMediaRequest(peer, media))
        transfer.media = sent_as(made)

    async def _part(
        self, transfer: Transfer, file: SourceFile | LocalFile, part: int, total: int
    ) -> None:
        """Download one part and upload it; ``total``: the parts of a big file."""
        kind = save_request(total)
        await self._files.wait_for(method_name(kind), _GET)
        async with self._parts:
            data = await self._data(transfer, file, part)
            numbers = (transfer.done, total) if total else (transfer.done,)
            await self._files.ask(kind(transfer.number, *numbers, data))
        if not total:
            transfer.digest.update(data)
        transfer.done += 1

    async def _data(self, transfer: Transfer, file: SourceFile | LocalFile, part: int) -> bytes:
        """Return the next part of a file."""
        offset = transfer.done * part
        if isinstance(file, LocalFile):
            data = await file.read(offset, part)
        else:
            data = await self._files.read(transfer, file.location, offset, part)
        if len(data) != min(part, file.size - offset):
            raise TransferError("its file has not the size that Telegram says", is_final=True)
        return data

    async def _thumb(self, transfer: Transfer, location: Any, size: int) -> Any:
        await self._files.wait_for(_GET, _SAVE)
        async with self._parts:
            try:
                data = await self._files.read(transfer, location, 0, _THUMB_BYTES)
            except errors.RPCError as error:
                if is_stale_reference(error_name(error)) or not is_about_request(error):
                    raise
                data = b""
            number = self._rng.getrandbits(63)
            if not 0 < len(data) <= size:
                return False  # it is shown without one
            await self._files.ask(functions.upload.SaveFilePartRequest(number, 0, data))
        return types.InputFile(number, 1, "thumb.jpg", "")

    async def _require_size(self, size: int, count: int) -> None:
        """Raise TransferError for a file that the account may not upload."""
        is_premium = False
        if MOST_PARTS < count <= MOST_PARTS_PREMIUM:
            [me] = await self._files.ask(functions.users.GetUsersRequest([types.InputUserSelf()]))
            is_premium = bool(me.premium)
        require_size(size, count, is_premium=is_premium)

    async def _judge(self, transfer: Transfer, error: Exception) -> None:
        """Go on where an error lets it: raises what its caller is to know."""
        if isinstance(error, FileWaitError):
            self._note_wait(error.method, error.seconds, str(error))
            await self._files.wait_for(error.method)
            return
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
