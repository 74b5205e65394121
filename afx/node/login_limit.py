"""After how long without use Telegram ends a login: asked of sessions that sleep for long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from telethon import errors
from telethon.tl import functions, types

from afx.telegram.client import AccountClient
from afx.telegram.errors import is_lost_login

_MOST_DAYS = 10_000
"""More is no credible answer; TDLib knows 1 to 366."""


class LoginInquiry:
    """Asks once, and owns its task.

    Source: core.telegram.org/method/account.getAuthorizations (``authorization_ttl_days``);
    the days are the account's, and hold for all of its logins. A bot is refused, and has none.
    """

    __slots__ = ("_client", "_lost", "_task", "_tell")

    def __init__(
        self,
        client: AccountClient,
        tell: Callable[[int], None],
        lost: Callable[[BaseException], None],
    ) -> None:
        """``tell`` takes the days, if Telegram says any; ``lost`` the error of a lost login."""
        self._client = client
        self._tell = tell
        self._lost = lost
        self._task = asyncio.get_running_loop().create_task(self._ask())

    @property
    def is_over(self) -> bool:
        """Whether it was answered, or will not be."""
        return self._task.done()

    async def stop(self) -> None:
        """Ask no more."""
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _ask(self) -> None:
        try:
            answer = await self._client(functions.account.GetAuthorizationsRequest())
        except (errors.RPCError, OSError, EOFError) as error:
            if is_lost_login(error):
                self._lost(error)
            return  # what is not known counts as the least that there is
        if isinstance(answer, types.account.Authorizations):
            days = answer.authorization_ttl_days
            if 0 < days <= _MOST_DAYS:
                self._tell(days)
