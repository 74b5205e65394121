"""Makes changes of many sessions step by step, whoever asked for them, and after a restart, too."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

import structlog

from afx.api.kept import Kept
from afx.api.threads import Threads
from afx.errors import AfxError
from afx.operations import session_changes
from afx.operations.context import Context
from afx.operations.session_bulk import PAUSE_SECONDS

LOOK_SECONDS = 5.0
"""Between two looks for changes that another process has left behind."""

log = structlog.get_logger()


class ChangeRunner:
    """Each process of an API has one; a step of a change is made by one of them."""

    def __init__(self, context: Context, threads: Threads, kept: Kept) -> None:
        self._context = context
        self._threads = threads
        self._kept = kept
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Let it look at once: a change was asked for."""
        self._asked.set()

    async def run(self) -> None:
        """Make changes until cancelled."""
        while True:
            self._asked.clear()
            more = False
            try:
                more = await self._round()
            except AfxError as error:
                log.warning("session_changes_wait", reason=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE_SECONDS if more else LOOK_SECONDS):
                    await self._asked.wait()

    async def _round(self) -> bool:
        """Make one step of each change that runs; returns whether there are further ones."""
        more = False
        for it in await self._threads.read(partial(session_changes.running, self._context)):
            try:
                more |= await self._threads.change(partial(session_changes.step, self._context, it))
            except AfxError as error:
                # A later round goes on with it.
                log.warning("session_change_waits", change=it, reason=str(error))
            except Exception:
                log.exception("session_change_failed", change=it)
                give_up = partial(session_changes.give_up, self._context, it)
                await self._threads.change(give_up)
            self._kept.forget()
        return more
