"""An event in Redis that no JSON writer takes does not end the live events."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from afx.api.hub import Hub


class Readings:
    """Threads whose reads answer at once: each one announces the event and another one."""

    def __init__(self, event: dict[str, Any]) -> None:
        self._events = (event, {"kind": "another", "at": 1})
        self.count = 0

    async def read(self, _: object) -> Any:
        return SimpleNamespace(at=0.0, status=1, sample=SimpleNamespace(nodes=()))

    async def listen(self, _: object) -> Any:
        self.count += 1
        return "1-1", self._events


@pytest.mark.parametrize("value", [10**30, "\ud800"])
def test_an_event_that_cannot_be_written_does_not_end_the_hub(value: Any) -> None:
    async def main() -> None:
        readings = Readings({"kind": "x", "at": 1, "value": value})
        hub = Hub(cast("Any", None), cast("Any", readings), cast("Any", None), interval=0.01)
        hub.clients = 1
        hub._last_event = "1-0"
        running = asyncio.create_task(hub.run())
        while readings.count < 4:
            assert not running.done(), "nobody gets a live event any more"
            await asyncio.sleep(0.01)
        running.cancel()
        assert any(b"another" in it.data for it in hub._frames), "one loses those after it"

    asyncio.run(main())
