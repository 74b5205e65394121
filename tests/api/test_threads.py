"""Calls that wait for servers of others keep nothing else waiting."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, cast

import pytest

from afx.api import threads
from afx.api.threads import BusyError, Threads
from afx.operations.context import Servers


class _Servers:
    def drop_connection(self) -> None:
        pass


def test_what_waits_for_strangers_holds_up_nothing_else_and_few_of_it_wait() -> None:
    async def scenario() -> None:
        pools = Threads(cast("Servers", _Servers()))
        answered = threading.Event()
        asking = [
            asyncio.ensure_future(pools.ask_strangers(cast("Any", answered.wait)))
            for _ in range(threads._MOST_ASKING)
        ]
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="asked already"):
            await pools.ask_strangers(lambda: None)
        assert await pools.long(lambda: 1) == 1
        assert await pools.change(lambda: 2) == 2
        assert await pools.read(lambda: 3) == 3
        answered.set()
        assert all(await asyncio.gather(*asking))
        assert await pools.ask_strangers(lambda: 4) == 4
        await pools.close()

    asyncio.run(scenario())
