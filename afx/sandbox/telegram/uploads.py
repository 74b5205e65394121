"""The parts of files that are being uploaded, and contents too large to be kept.

Source: core.telegram.org/api/files, "Uploading files". That a file of more than 10 MB is
refused whose parts were saved as those of a small one is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b, md5
from typing import Any

from telethon.tl import types

from afx.sandbox.errors import RpcError

PART_BYTES = 512 * 1024
MOST_PARTS, MOST_PARTS_PREMIUM = 4_000, 8_000
_MOST_SMALL = 10 * 1024 * 1024
_KEPT_BYTES = 64 * 1024 * 1024
"""Of a larger upload only digests are kept."""
_BLOCK = 1024


@dataclass(slots=True, frozen=True)
class Formula:
    """The bytes of a file that are made as they are asked for, of any number."""

    seed: int
    size: int

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, piece: slice) -> bytes:
        first, last, _ = piece.indices(self.size)
        if last <= first:
            return b""
        block = blake2b(self.seed.to_bytes(8), digest_size=64).digest() * (_BLOCK // 64)
        blocks = range(first // _BLOCK, -(-last // _BLOCK))
        # Each block says which one it is: parts in another order are another file.
        made = b"".join(it.to_bytes(8) + block[8:] for it in blocks)
        start = first - blocks[0] * _BLOCK
        return made[start : start + last - first]


@dataclass(slots=True, frozen=True)
class Digests:
    """What is kept of a large upload: by it another file is recognised as the same."""

    size: int
    part: int
    """Bytes of each part but the last."""
    parts: tuple[bytes, ...]

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, _: slice) -> bytes:
        raise RpcError(400, "MEDIA_INVALID")

    def is_of(self, data: Contents) -> bool:
        """Return whether these are the digests of a file's bytes."""
        pieces = (data[it : it + self.part] for it in range(0, len(data), self.part))
        return len(data) == self.size and self.parts == tuple(map(_digest, pieces))


Contents = bytes | Formula | Digests


def is_same(found: Contents, wanted: Formula) -> bool:
    """Return whether contents are the bytes of a formula."""
    if isinstance(found, Digests):
        return found.is_of(wanted)
    return len(found) == len(wanted) and found[0 : len(found)] == wanted[0 : len(wanted)]


@dataclass(slots=True, eq=False)
class _Upload:
    is_big: bool
    total: int = 0
    """The parts that a big file is to have."""
    is_digested: bool = False
    """Digests of its parts are kept: they would be too large."""
    parts: dict[int, bytes] = field(default_factory=dict)
    """Their bytes, or their digests."""
    sizes: dict[int, int] = field(default_factory=dict)


class Uploads:
    """What accounts are uploading."""

    def __init__(self) -> None:
        self._uploads: dict[tuple[int, int], _Upload] = {}
        """(account, the client's file id) → its parts."""

    def forget(self) -> None:
        """Forget all parts, as Telegram does after some minutes or hours."""
        self._uploads.clear()

    def save(self, account: int, request: Any, most: int) -> None:
        """Store one part; raises RpcError as upload.saveFilePart is refused."""
        part, data = request.file_part, request.bytes
        total = getattr(request, "file_total_parts", None)
        if not 0 <= part < most:
            raise RpcError(400, "FILE_PART_INVALID")
        if total is not None and not (1 <= total <= most and part < total):
            raise RpcError(400, "FILE_PARTS_INVALID")
        if not data:
            raise RpcError(400, "FILE_PART_EMPTY")
        if len(data) > PART_BYTES:
            raise RpcError(400, "FILE_PART_TOO_BIG")
        key = (account, request.file_id)
        upload = self._uploads.get(key)
        if upload is None:
            is_large = (total or 0) * len(data) > _KEPT_BYTES
            upload = self._uploads[key] = _Upload(total is not None, total or 0, is_large)
        if upload.is_big is not (total is not None) or (total and total != upload.total):
            raise RpcError(400, "FILE_PARTS_INVALID")
        if total and part < total - 1:
            _check_size(len(data))
            if any(it < total - 1 and size != len(data) for it, size in upload.sizes.items()):
                raise RpcError(400, "FILE_PART_SIZE_CHANGED")
        upload.sizes[part] = len(data)
        upload.parts[part] = _digest(data) if upload.is_digested else data

    def assemble(self, account: int, uploaded: Any, most: int) -> Contents:
        """Return the contents of an InputFile or InputFileBig, once."""
        key = (account, uploaded.id)
        upload = self._uploads.get(key) or _Upload(isinstance(uploaded, types.InputFileBig))
        count = uploaded.parts
        if not 1 <= count <= most or upload.is_big is isinstance(uploaded, types.InputFile):
            raise RpcError(400, "FILE_PARTS_INVALID")
        for number in range(count):
            if number not in upload.parts:
                raise RpcError(400, f"FILE_PART_{number}_MISSING")
        sizes = [upload.sizes[it] for it in range(count)]
        for size in sizes[:-1]:
            _check_size(size)
        if len(set(sizes[:-1])) > 1 or sizes[-1] > sizes[0]:
            raise RpcError(400, "FILE_PART_SIZE_CHANGED")
        if not upload.is_big and sum(sizes) > _MOST_SMALL:
            raise RpcError(400, "FILE_PARTS_INVALID")
        parts = [upload.parts[it] for it in range(count)]
        if upload.is_digested:
            del self._uploads[key]
            return Digests(sum(sizes), sizes[0], tuple(parts))
        data = b"".join(parts)
        checksum = getattr(uploaded, "md5_checksum", "")
        if checksum and md5(data, usedforsecurity=False).hexdigest() != checksum:
            raise RpcError(400, "MD5_CHECKSUM_INVALID")
        del self._uploads[key]
        return data


def _check_size(size: int) -> None:
    if size % 1024 or PART_BYTES % size:
        raise RpcError(400, "FILE_PART_SIZE_INVALID")


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()
