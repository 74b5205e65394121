"""A box that appears while the account catches up is read once, not twice at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from telethon.tl import functions, types

from afx.telegram.boxes import Box
from afx.telegram.updates import UpdateReader


class Recorder:
    def __init__(self) -> None:
        self.under_way = self.most = 0
        self.go = asyncio.Event()
        self.read: list[int] = []

    def take(self, box: Box, pts: int, message: Any, own: bool) -> None:
        if pts:
            box.pts = box.cursor = pts
        if message:
            self.read.append(message.id)

    def make_room(self) -> None: ...

    def input_peer(self, chat: int) -> int:
        return chat

    def trouble(self, *args: Any) -> None:
        raise AssertionError(args)

    async def __call__(self, request: Any) -> Any:
        if isinstance(request, functions.updates.GetDifferenceRequest):
            await self.go.wait()
            return types.updates.DifferenceEmpty(datetime.now(UTC), 0)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0.05)
        self.under_way -= 1
        if request.pts >= 11:
            return types.updates.ChannelDifferenceEmpty(pts=request.pts, final=True)
        message = types.Message(
            id=1, peer_id=types.PeerChannel(7), date=datetime.now(UTC), message="x"
        )
        return types.updates.ChannelDifference(11, [message], [], [], [], final=True)


def test_a_source_that_opens_while_the_account_catches_up_is_read_once() -> None:
    async def main() -> None:
        recorder: Any = Recorder()
        reader = UpdateReader(recorder, recorder, recorder, recorder)
        reader.set_account(5, 0, 1_700_000_000)
        reader.start_catch_up()
        await asyncio.sleep(0.01)
        # What RuleWatch._open does with a source that can be read again.
        reader.channels[7] = Box(7, 10, 10)
        reader.sync_later(reader.channels[7])
        recorder.go.set()
        await asyncio.sleep(0.3)
        await reader.stop()
        assert (recorder.most, recorder.read) == (1, [1])

    asyncio.run(main())
