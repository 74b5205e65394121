"""One file on its way from a chat to Telegram's memory of uploads, and what may come of it.

Source: core.telegram.org/api/files, "Uploading files".
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Protocol

from telethon import utils
from telethon.tl import functions, types

MOST_PARTS, MOST_PARTS_PREMIUM = 4_000, 8_000
"""Parts of a file (core.telegram.org/api/config, upload_max_fileparts_default, …_premium)."""
_LARGEST_PART = 512 * 1024
BIG_BYTES = 10 * 1024 * 1024
"""A larger file is saved by other requests, and without a checksum."""


class StaleFileError(Exception):
    """The message has to be read anew: its file's reference has expired, or is of another file."""


class TransferError(Exception):
    """A file is not transferred now, or (``is_final``) cannot be."""

    def __init__(self, reason: str, *, is_final: bool) -> None:
        super().__init__(reason)
        self.is_final = is_final


class FileWaitError(Exception):
    """Telegram takes no requests of a method for a time."""

    def __init__(self, method: str, seconds: float, reason: str) -> None:
        super().__init__(reason)
        self.method, self.seconds = method, seconds


class TransferWaits(Protocol):
    """Until when an account's requests wait, by method (see ``node.waits``)."""

    def held(self, key: int | str) -> float:
        """Return for how many seconds a method is not to be asked for."""

    def take(self, key: int | str, count: int = 1) -> None:
        """Count requests that are made."""


@dataclass(slots=True, eq=False)
class Transfer:
    """One file on its way, and then where it was uploaded to."""

    number: int
    """The upload's id, chosen by the client."""
    data_centre: int
    done: int = 0
    """Parts that are saved."""
    tries: int = 1
    digest: Any = None
    """Of a small file's parts so far."""
    thumb: Any = None
    media: Any = None
    """What it is sent by; None until it is uploaded."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def begin_anew(self, number: int) -> None:
        """Forget what was saved, and use another number for the upload."""
        self.number, self.done, self.tries = number, 0, self.tries + 1
        self.digest = self.thumb = None


def save_request(total: int) -> Any:
    """Return the request that saves a part of a big file, or of a small one."""
    if total:
        return functions.upload.SaveBigFilePartRequest
    return functions.upload.SaveFilePartRequest


def part_bytes(size: int) -> int:
    """Return the bytes of a file's parts: small ones let other requests pass between them."""
    return int(utils.get_appropriated_part_size(size)) * 1024


def sent_as(media: Any) -> Any:
    """Return what was uploaded as it is sent; raises TransferError for what is neither."""
    if isinstance(media, types.MessageMediaPhoto):
        return types.InputMediaPhoto(utils.get_input_photo(media.photo))
    if isinstance(media, types.MessageMediaDocument):
        return types.InputMediaDocument(utils.get_input_document(media.document))
    raise TransferError(f"Telegram has made {type(media).__name__} of its file", is_final=True)


def require_size(size: int, count: int, *, is_premium: bool) -> None:
    """Raise TransferError for a file of so many bytes, and parts, that may not be uploaded."""
    if not size:
        raise TransferError("its file is empty", is_final=True)
    most = MOST_PARTS_PREMIUM if is_premium else MOST_PARTS
    if count > most:
        raise TransferError(
            f"its file has {size / 1e9:.1f} GB; this account may upload "
            f"{most * _LARGEST_PART / 1e9:.1f} GB",
            is_final=True,
        )
