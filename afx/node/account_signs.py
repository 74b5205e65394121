"""What an answer of Telegram's says about an account as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from telethon import errors
from telethon.tl import functions, types

from afx.errors import printable
from afx.reasons import TroubleReason
from afx.telegram.client import AccountClient
from afx.telegram.errors import is_frozen, is_limited

_LATEST = 4_102_444_800
"""Of a date, in Unix seconds: the end of this century."""


def account_trouble(name: str) -> TroubleReason:
    """Return the trouble of an account that may send nothing, by Telegram's name of the error."""
    if is_limited(name):
        return TroubleReason.ACCOUNT_LIMITED
    return TroubleReason.ACCOUNT_FROZEN if is_frozen(name) else TroubleReason.SEND_FAILED


class FreezeInquiry:
    """Asks Telegram until when an account is frozen, and where to appeal; owns its task."""

    __slots__ = ("_client", "_task", "_tell")

    def __init__(self, client: AccountClient, tell: Callable[[str], None]) -> None:
        """``tell`` takes a sentence for people, if Telegram says anything."""
        self._client = client
        self._tell = tell
        self._task = asyncio.get_running_loop().create_task(self._ask())

    async def stop(self) -> None:
        """Ask no more."""
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _ask(self) -> None:
        try:
            answer = await self._client(functions.help.GetAppConfigRequest(0))
        except (errors.RPCError, OSError, EOFError):
            return  # its state is reported all the same
        if text := freeze_text(getattr(answer, "config", None)):
            self._tell(text)


def freeze_text(config: Any) -> str:
    """Return what an app's configuration says of a frozen account; empty for nothing.

    Source: core.telegram.org/api/auth, "Frozen accounts".
    """
    if not isinstance(config, types.JsonObject):
        return ""
    values = {it.key: getattr(it.value, "value", None) for it in config.value}
    found = []
    until, url = values.get("freeze_until_date"), values.get("freeze_appeal_url")
    if isinstance(until, int | float) and 0 < until < _LATEST:
        found.append(f"it is deleted on {datetime.fromtimestamp(until, UTC):%Y-%m-%d}")
    if isinstance(url, str) and url.startswith("https://t.me/"):
        found.append(f"appeal at {printable(url)}")
    return "; ".join(found)
