"""Files that were uploaded, and the references by which they are used again.

Source: core.telegram.org/api/files and /api/file-references.
"""

from __future__ import annotations

import secrets
import struct
import time
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import md5
from typing import Any

from telethon.tl import types

from afx.sandbox.errors import RpcError

_PART_BYTES = 512 * 1024
_MOST_PARTS = 4000


@dataclass(slots=True, eq=False)
class File:
    """One photo or document."""

    files: Files
    id: int
    data: bytes
    mime_type: str
    attributes: list[Any]
    is_photo: bool
    spoiler: bool = False
    """It is covered until somebody taps it, in this message."""
    data_centre: int = 2
    """Where it is stored."""
    access_hash: int = field(default_factory=lambda: secrets.randbits(63))
    date: int = field(default_factory=lambda: int(time.time()))

    @property
    def key(self) -> Hashable:
        """What it is, whoever uploaded it: two files with equal keys are the same to a reader."""
        kind = (self.is_photo, self.mime_type, self.spoiler)
        return *kind, self.data, *map(bytes, self.attributes)

    @property
    def reference(self) -> bytes:
        """The file reference of now; it expires when ``Files.expire`` is called."""
        return struct.pack("<Iq", self.files.epoch, self.id)

    def view(self) -> Any:
        """Return it as the media of a message."""
        date = datetime.fromtimestamp(self.date, UTC)
        known = (self.id, self.access_hash, self.reference, date)
        if self.is_photo:
            size = types.PhotoSize("x", 100, 100, len(self.data))
            return types.MessageMediaPhoto(
                photo=types.Photo(*known, [size], self.data_centre), spoiler=self.spoiler
            )
        return types.MessageMediaDocument(
            document=types.Document(
                *known, self.mime_type, len(self.data), self.data_centre, self.attributes
            ),
            spoiler=self.spoiler,
        )

    def covered(self, by: bool | None) -> File:
        """Return it as it is in a message that covers it, or does not."""
        return self if self.spoiler is bool(by) else replace(self, spoiler=bool(by))


class Files:
    """All files, and the parts of those that are being uploaded."""

    def __init__(self) -> None:
        self.epoch = 1
        """Rises when all references expire."""
        self._files: dict[int, File] = {}
        self._parts: dict[tuple[int, int], dict[int, bytes]] = {}
        """(account, the client's file id) → its parts."""

    def expire(self) -> None:
        """Let every reference that was given out expire."""
        self.epoch += 1

    def save_part(self, account: int, file_id: int, part: int, data: bytes) -> None:
        """Store one part; raises RpcError as upload.saveFilePart is refused."""
        if not 0 <= part < _MOST_PARTS:
            raise RpcError(400, "FILE_PART_INVALID")
        if not data:
            raise RpcError(400, "FILE_PART_EMPTY")
        if len(data) > _PART_BYTES:
            raise RpcError(400, "FILE_PART_TOO_BIG")
        self._parts.setdefault((account, file_id), {})[part] = data

    def assemble(self, account: int, uploaded: Any) -> bytes:
        """Return the data of an InputFile or InputFileBig, once."""
        key = (account, uploaded.id)
        parts = self._parts.get(key, {})
        if not 1 <= uploaded.parts <= _MOST_PARTS:
            raise RpcError(400, "FILE_PARTS_INVALID")
        for number in range(uploaded.parts):
            if number not in parts:
                raise RpcError(400, f"FILE_PART_{number}_MISSING")
        data = b"".join(parts[number] for number in range(uploaded.parts))
        checksum = getattr(uploaded, "md5_checksum", "")
        if checksum and md5(data, usedforsecurity=False).hexdigest() != checksum:
            raise RpcError(400, "MD5_CHECKSUM_INVALID")
        del self._parts[key]
        return data

    def add(
        self, data: bytes, *, mime_type: str = "", attributes: Any = (), is_photo: bool = False
    ) -> File:
        """Store a photo or a document."""
        number = 5_000_000_001 + len(self._files)
        file = File(self, number, data, mime_type, list(attributes), is_photo)
        self._files[number] = file
        return file

    def find(self, named: Any) -> File:
        """Return what an input photo, document or location names.

        Raises RpcError when the reference has expired (api/file-references).
        """
        file = self._files.get(getattr(named, "id", 0))
        if file is None or file.access_hash != named.access_hash:
            raise RpcError(400, "MEDIA_INVALID")
        if not named.file_reference:
            raise RpcError(400, "FILE_REFERENCE_EMPTY")
        if named.file_reference != file.reference:
            raise RpcError(400, "FILE_REFERENCE_EXPIRED")
        return file
