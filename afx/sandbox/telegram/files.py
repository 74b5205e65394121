"""Files that were uploaded, and the references by which they are used again.

Source: core.telegram.org/api/files and /api/file-references. A reference says where it was
got: one of a chat that forbids to save its contents opens the file for a download only. That
Telegram refuses it with CHAT_FORWARDS_RESTRICTED is what users of other clients report.
"""

from __future__ import annotations

import secrets
import struct
import time
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from telethon.tl import types

from afx.sandbox.errors import RpcError
from afx.sandbox.telegram.uploads import Contents, Uploads


@dataclass(slots=True, eq=False)
class File:
    """One photo or document."""

    files: Files
    id: int
    data: Contents
    mime_type: str
    attributes: list[Any]
    is_photo: bool
    spoiler: bool = False
    """It is covered until somebody taps it, in this message."""
    data_centre: int = 2
    """Where it is stored."""
    thumb: bytes = b""
    """The small picture that a document is shown with; none if empty."""
    access_hash: int = field(default_factory=lambda: secrets.randbits(63))
    date: int = field(default_factory=lambda: int(time.time()))

    @property
    def key(self) -> Hashable:
        """What it is, whoever uploaded it: two files with equal keys are the same to a reader."""
        kind = (self.is_photo, self.mime_type, self.spoiler)
        return *kind, self.data, self.thumb, *map(bytes, self.attributes)

    def reference(self, *, is_protected: bool = False) -> bytes:
        """Return the file reference of now; it expires when ``Files.expire`` is called."""
        return struct.pack("<Iq?", self.files.epoch, self.id, is_protected)

    def view(self, *, is_protected: bool = False) -> Any:
        """Return it as the media of a message; ``is_protected``: in a chat that forbids to save."""
        date = datetime.fromtimestamp(self.date, UTC)
        reference = self.reference(is_protected=is_protected)
        known = (self.id, self.access_hash, reference, date)
        if self.is_photo:
            size = types.PhotoSize("x", 100, 100, len(self.data))
            return types.MessageMediaPhoto(
                photo=types.Photo(*known, [size], self.data_centre), spoiler=self.spoiler
            )
        thumbs = [types.PhotoSize("m", 90, 90, len(self.thumb))] if self.thumb else None
        size = len(self.data)
        return types.MessageMediaDocument(
            document=types.Document(
                *known, self.mime_type, size, self.data_centre, self.attributes, thumbs=thumbs
            ),
            spoiler=self.spoiler,
        )

    def piece(self, thumb: str) -> Contents:
        """Return the bytes that a location names: of the file, or of a picture of it."""
        if thumb == ("x" if self.is_photo else ""):
            return self.data
        if thumb == "m" and self.thumb:
            return self.thumb
        raise RpcError(400, "LOCATION_INVALID")

    def covered(self, by: bool | None) -> File:
        """Return it as it is in a message that covers it, or does not."""
        return self if self.spoiler is bool(by) else replace(self, spoiler=bool(by))


class Files:
    """All files, and the parts of those that are being uploaded."""

    def __init__(self) -> None:
        self.epoch = 1
        """Rises when all references expire."""
        self._files: dict[int, File] = {}
        self.uploads = Uploads()

    def expire(self) -> None:
        """Let every reference that was given out expire."""
        self.epoch += 1

    def add(
        self,
        data: Contents,
        *,
        mime_type: str = "",
        attributes: Any = (),
        is_photo: bool = False,
        thumb: bytes = b"",
    ) -> File:
        """Store a photo or a document."""
        number = 5_000_000_001 + len(self._files)
        file = File(self, number, data, mime_type, list(attributes), is_photo, thumb=thumb)
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
        if named.file_reference not in (file.reference(), file.reference(is_protected=True)):
            raise RpcError(400, "FILE_REFERENCE_EXPIRED")
        return file

    def find_to_send(self, named: Any) -> File:
        """Return what is named to be sent; raises RpcError if its chat forbids that."""
        file = self.find(named)
        if named.file_reference == file.reference(is_protected=True):
            raise RpcError(400, "CHAT_FORWARDS_RESTRICTED")
        return file
