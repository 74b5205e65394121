"""Requests about the bytes of files, also of those in other data centres.

Telegram gives a file by the data centre that stores it alone (core.telegram.org/api/files,
"Downloading files", and api/datacenter). A connection there says nothing about the account's
own: what becomes of it is a failure that passes.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from telethon import errors

from afx.owned_tasks import OwnedTasks
from afx.telegram.client import REQUEST_SECONDS, AccountClient
from afx.telegram.errors import error_name, is_lost_login

_CONNECT_SECONDS = 60.0


class AwayError(Exception):
    """Another data centre gives no answer now."""


class FileRequests:
    """Asks by one account's client."""

    __slots__ = ("_client", "_tasks")

    def __init__(self, client: AccountClient) -> None:
        self._client = client
        self._tasks = OwnedTasks()

    async def ask(self, request: Any, data_centre: int = 0) -> Any:
        """Return the answer to a request, to a data centre or (0) to the account's own.

        Raises telethon's errors, ConnectionError when the account's connection ends, and
        AwayError.
        """
        client = self._client
        if data_centre in (0, client.session.dc_id):
            [answer] = await client.run_in_order([request], ordered=False)
            if isinstance(answer, errors.RPCError):
                raise answer
            return answer
        sender = None
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                sender = await client._borrow_exported_sender(data_centre)  # noqa: SLF001
            async with asyncio.timeout(REQUEST_SECONDS):
                return await sender.send(request)
        except errors.RPCError as error:
            if not is_lost_login(error):
                raise
            await self._drop(data_centre)
            sender = None
            raise AwayError(f"data centre {data_centre}: {error_name(error)}") from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Telethon cancels what waits when a connection ends.
            await self._drop(data_centre)
            sender = None
            raise AwayError(f"the connection to data centre {data_centre} ended") from None
        except (OSError, EOFError, TimeoutError, errors.SecurityError) as error:
            await self._drop(data_centre)
            sender = None
            raise AwayError(f"data centre {data_centre}: {type(error).__name__}") from error
        finally:
            if sender is not None:
                await client._return_exported_sender(sender)  # noqa: SLF001

    def end_idle(self) -> None:
        """Let connections to other data centres end that nobody has used for a minute."""
        if self._client._borrowed_senders and not self._tasks:  # noqa: SLF001
            self._tasks.begin(self._client._clean_exported_senders())  # noqa: SLF001

    async def stop(self) -> None:
        """End what ``end_idle`` has begun; the client ends the connections themselves."""
        await self._tasks.end()

    async def _drop(self, data_centre: int) -> None:
        """Forget a connection that is of no use: the next request makes another one."""
        client = self._client
        async with client._borrow_sender_lock:  # noqa: SLF001
            _, sender = client._borrowed_senders.pop(data_centre, (None, None))  # noqa: SLF001
        if sender is not None:
            with contextlib.suppress(OSError):
                await sender.disconnect()
