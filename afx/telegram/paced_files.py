"""Asks about files in an account's pace: waits that Telegram asks for are noted by method."""

from __future__ import annotations

import asyncio
from typing import Any

from telethon import errors
from telethon.tl import functions, types

from afx.telegram.budgets import method_name
from afx.telegram.client import AccountClient
from afx.telegram.errors import error_name
from afx.telegram.file_requests import FileRequests
from afx.telegram.uploads import FileWaitError, Transfer, TransferError, TransferWaits

_UNKNOWN_SECONDS = 60.0
"""A wait whose length Telegram does not tell (FROZEN_METHOD_INVALID)."""


class PacedFiles:
    """The requests about files of one session."""

    __slots__ = ("_client", "_requests", "_waits")

    def __init__(self, client: AccountClient, waits: TransferWaits) -> None:
        self._client = client
        self._waits = waits
        self._requests: FileRequests | None = None

    def end_idle(self) -> None:
        """Let connections end that nobody has used for a while."""
        if self._requests:
            self._requests.end_idle()

    async def stop(self) -> None:
        """End what runs in the background."""
        if self._requests is not None:
            await self._requests.stop()

    async def read(self, transfer: Transfer, location: Any, offset: int, limit: int) -> bytes:
        """Return bytes of a file; raises TransferError, and what ``ask`` raises."""
        request = functions.upload.GetFileRequest(location, offset, limit)
        try:
            answer = await self.ask(request, transfer.data_centre)
        except errors.FileMigrateError as error:
            transfer.data_centre = error.new_dc
            answer = await self.ask(request, transfer.data_centre)
        if not isinstance(answer, types.upload.File):
            raise TransferError("its file lies where afx cannot fetch it (CDN)", is_final=True)
        return bytes(answer.bytes)

    async def ask(self, request: Any, data_centre: int = 0) -> Any:
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

    async def wait_for(self, *methods: str) -> None:
        """Wait until requests of all of some methods may be made."""
        while (left := max(map(self._waits.held, methods))) > 0:  # noqa: ASYNC110
            await asyncio.sleep(left)
