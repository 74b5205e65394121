"""A file on this node's disk that is uploaded in the place of a message's own."""

from __future__ import annotations

import asyncio
import weakref
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

from telethon.tl import types

from afx.telegram.source_files import SourceFile, shown_as

_CHUNK = 1024 * 1024


class LocalFile:
    """What is uploaded instead of a message's file, and shown as that is.

    It belongs to this object, and is removed with it.
    """

    thumb = None
    """Telegram makes the picture that it is shown by."""
    data_centre = 0

    def __init__(self, path: Path, source: SourceFile, name: str, mime_type: str) -> None:
        """Take a file that nobody changes any more; blocks while it is read once."""
        self.path = path
        self.name = name
        self._end = weakref.finalize(self, _remove, path)
        self._source = source
        self._mime_type = mime_type
        self._attributes = [_named(it, name) for it in source.attributes]
        shown = b"".join(map(bytes, self._attributes))
        made = blake2b(f"{source.is_photo}\0{name}\0{mime_type}\0".encode() + shown)
        self.size = 0
        with path.open("rb") as stream:
            while data := stream.read(_CHUNK):
                made.update(data)
                self.size += len(data)
        self.id = int.from_bytes(made.digest()[:16])
        """The same for the same content that is shown in the same way; no id of Telegram's."""

    async def read(self, offset: int, limit: int) -> bytes:
        """Return some of its bytes; those behind its end are missing."""
        return await asyncio.to_thread(self._read, offset, limit)

    def remove(self) -> None:
        """Remove it: it is not read any more."""
        self._end()

    def uploaded(self, file: Any, thumb: Any) -> Any:
        """Return its media as an upload."""
        return shown_as(self._source, file, self._mime_type, self._attributes, thumb)

    def _read(self, offset: int, limit: int) -> bytes:
        with self.path.open("rb", buffering=0) as stream:
            stream.seek(offset)
            return stream.read(limit)


def _named(attribute: Any, name: str) -> Any:
    if isinstance(attribute, types.DocumentAttributeFilename):
        return types.DocumentAttributeFilename(name)
    return attribute


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
