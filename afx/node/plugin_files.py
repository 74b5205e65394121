"""Gets the files of messages for plug-ins, part by part onto the disk, and keeps what they return.

A file lies there from its download until its plug-ins have answered, and what they return until
it was sent. Nothing of it is stored elsewhere: after a crash it is downloaded, and its plug-ins
are asked, again, and the random id of the send says that it is the same.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from afx.forwarding.outputs import is_output
from afx.forwarding.pipeline import Delivery
from afx.forwarding.plugin_options import Plugin
from afx.node.lane_owner import LaneOwner
from afx.node.pace import Pace
from afx.node.reuploads import PARK_SECONDS, set_gone
from afx.plugins import File, Message
from afx.plugins.exchange import WrongAnswerError
from afx.plugins.leftovers import remove
from afx.plugins.processes import checked_file
from afx.plugins.runner import Answer, Failed, PluginRunner
from afx.plugins.spool import Spool
from afx.telegram.change_sender import WITH_FILE
from afx.telegram.facts import media_kind
from afx.telegram.local_files import LocalFile
from afx.telegram.source_files import NotMadeAnewError, SourceFile, source_file
from afx.telegram.uploads import StaleFileError, TransferError

_MOST_STALE = 3
"""Times that a message is read anew since its file has another name by now."""
_SUFFIX = 12
"""Characters of a name's ending that the file on disk keeps."""
_NO_PATH = str.maketrans("/\0", "__")
_LOCK = threading.Lock()
_SPOOL: list[Spool] = []
"""That of this process, once something lies there."""
Read = Callable[[Delivery], Awaitable[Sequence[Any] | None]]


class FileLaterError(Exception):
    """A file cannot be had now; its text says why."""


class RereadError(Exception):
    """A message is to be read anew, which cannot be done now; its lane waits."""


class _DiskError(Exception):
    """The disk takes no more."""


class PluginFiles:
    """The files of one lane."""

    __slots__ = ("_owner", "_pace", "_read")

    def __init__(self, owner: LaneOwner, pace: Pace, read: Read) -> None:
        """``read`` reads a delivery's message anew; None when that cannot be done now."""
        self._owner = owner
        self._pace = pace
        self._read = read

    @asynccontextmanager
    async def parking(self) -> AsyncIterator[None]:
        """Let the lane give what it holds to its outbox if this takes long."""
        timer = asyncio.get_running_loop().call_later(PARK_SECONDS, self._pace.park)
        try:
            yield
        finally:
            timer.cancel()

    @asynccontextmanager
    async def work(self, it: Delivery) -> AsyncIterator[Work]:
        """Hold what lies on the disk for one delivery."""
        work = Work(it, self._owner, self._read)
        try:
            yield work
        finally:
            await asyncio.shield(work.end())


class Work:
    """The file of one delivery, while its plug-ins are asked."""

    def __init__(self, it: Delivery, owner: LaneOwner, read: Read) -> None:
        self._it = it
        self._owner = owner
        self._read = read
        self._directory: Path | None = None
        self._file: File | None = None
        self._is_new = False
        self._most = 0
        """Bytes of the largest file that the plug-in may return which has made it."""

    async def ask(self, runner: PluginRunner, plugin: Plugin, message: Message) -> Answer | None:
        """Return what a plug-in makes of a message, without its file; None: it is gone.

        Raises FileLaterError, RereadError, ConnectionError, and the error of a lost login.
        """
        try:
            if self._file is None:
                self._file = await self._fetch(plugin.files)
            file = self._file
        except (NotMadeAnewError, _DiskError) as error:
            return Failed(str(error))
        if file is None:
            return None
        if file.size > plugin.files:
            return Failed(_too_large(file.size, plugin.files))
        assert self._directory is not None
        given = replace(message, file=file)
        answer = await runner.apply_to_file(plugin, given, self._directory)
        if not isinstance(answer, Message):
            return answer
        if answer.file is not None and answer.file is not file:
            self._file, self._is_new, self._most = answer.file, True, plugin.files
        return replace(answer, file=None)

    async def made(self) -> LocalFile | Failed | None:
        """Return the file that its plug-ins have made; None for the message's own."""
        it, file = self._it, self._file
        if not self._is_new or file is None or is_output(it.destination):
            return None
        if it.op == "edit" and media_kind(it.whole) not in WITH_FILE:
            return None
        try:
            source = source_file(it.whole)
            assert source is not None
            assert self._directory is not None
            return await asyncio.to_thread(_adopted, file, source, self._directory, self._most)
        except WrongAnswerError as error:
            return Failed(str(error))
        except OSError as error:
            return Failed(str(error.strerror))

    async def end(self) -> None:
        """Remove what lies on the disk, but for what its plug-ins have made."""
        if self._directory is not None:
            await asyncio.to_thread(remove, self._directory)

    async def _fetch(self, most: int) -> File | None:
        for _ in range(_MOST_STALE):
            source = source_file(self._it.whole)
            if source is None:
                raise NotMadeAnewError("it has no file")
            if not 0 < source.size <= most:
                raise NotMadeAnewError(_too_large(source.size, most))
            try:
                return await self._download(source)
            except StaleFileError:
                if not await self._reread():
                    return None
            except TransferError as error:
                if error.is_final:
                    raise NotMadeAnewError(str(error)) from error
                raise FileLaterError(str(error)) from error
        raise NotMadeAnewError("the reference of its file expires at once")

    async def _reread(self) -> bool:
        """Read the message anew; returns whether it is still there."""
        it = self._it
        found = await self._read(it)
        if found is None:
            raise RereadError
        if not found:
            if it.op == "send":
                set_gone(it)
            return False
        it.whole = found[0]
        if it.raw is not None:
            it.raw = found[0]
        return True

    async def _download(self, source: SourceFile) -> File:
        try:
            if self._directory is None:
                self._directory = await asyncio.to_thread(_directory)
        except OSError as error:
            raise _DiskError(f"no directory for its file: {error.strerror}") from error
        path = self._directory / f"source{_suffix(source.name)}"
        with suppress(FileNotFoundError):
            path.unlink()

        async def keep(data: bytes) -> None:
            try:
                await asyncio.to_thread(_append, path, data)
            except OSError as error:
                raise _DiskError(f"its file cannot be stored: {error.strerror}") from error

        await self._owner.transfers.download(source, keep)
        # A plug-in may write to a file of that name: it lies in its directory then.
        name = source.name.translate(_NO_PATH)
        return File(str(path), name, source.mime_type, source.size)


def _too_large(size: int, most: int) -> str:
    return f"its file has {size:,} bytes; it gets files up to {most:,}" if size else "it is empty"


def _suffix(name: str) -> str:
    suffix = Path(name).suffix[:_SUFFIX]
    return suffix if suffix.isascii() and suffix[1:].isalnum() else ""


def _append(path: Path, data: bytes) -> None:
    with path.open("ab", buffering=0) as stream:
        stream.write(data)


def _spool() -> Spool:
    with _LOCK:
        if not _SPOOL:
            _SPOOL.append(Spool())
        return _SPOOL[0]


def _directory() -> Path:
    return _spool().directory()


def _adopted(file: File, source: SourceFile, directory: Path, most: int) -> LocalFile:
    checked_file(file, directory, most)  # a later plug-in may have put something in its place
    return LocalFile(_spool().adopt(Path(file.path)), source, file.name, file.mime_type)
