"""Updates that come out of order: a late one costs no request, a lost one costs one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from support.sandbox import until
from telethon.tl import types

from afx.reasons import TroubleReason
from afx.telegram import updates
from afx.telegram.boxes import Box
from afx.telegram.mtproto_state import UpdatesMissed
from afx.telegram.updates import UpdateReader

CHANNEL = 7


class Recorder:
    """Takes what is read, settled at once; and is the client, whose differences are empty."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.requests: list[Any] = []
        self.answers: list[Any] = []
        self.troubles: list[TroubleReason] = []

    def take(self, box: Box, pts: int, message: Any, own: bool) -> None:
        del own
        if pts:
            box.pts = box.cursor = pts
        if message:
            self.read.append(message.text)

    def note_own(self, message: Any) -> None:
        """Learn of a message of its own."""

    def announce(self, random_id: int, message_id: int) -> None:
        """Learn of a send."""

    def make_room(self) -> None:
        """Settle what is open."""

    def trouble(self, reason: TroubleReason, text: str) -> None:
        del text
        self.troubles.append(reason)

    def lost(self, error: BaseException) -> None:
        raise error

    def input_peer(self, chat: int) -> int:
        return chat

    async def __call__(self, request: Any) -> Any:
        self.requests.append(request)
        if self.answers:
            return self.answers.pop(0)
        return types.updates.ChannelDifferenceEmpty(pts=request.pts, final=True)


def message(pts: int) -> Any:
    """Return a push of a channel's message; its text is its pts."""
    found = types.Message(
        id=pts,
        peer_id=types.PeerChannel(CHANNEL),
        date=datetime.now(UTC),
        message=str(pts),
    )
    update = types.UpdateNewChannelMessage(found, pts, 1)
    return types.Updates([update], [], [], datetime.now(UTC), 0)


def run(scenario: Callable[[UpdateReader, Recorder], Awaitable[None]]) -> None:
    """Run a scenario with a reader whose channel is at pts 10."""

    async def main() -> None:
        recorder: Any = Recorder()
        reader = UpdateReader(recorder, recorder, recorder, recorder)
        reader.channels[CHANNEL] = Box(CHANNEL, 10, 10)
        reader.account.syncing = False
        await scenario(reader, recorder)
        await reader.stop()

    asyncio.run(main())


def test_an_update_that_comes_late_costs_no_request() -> None:
    async def scenario(reader: UpdateReader, recorder: Recorder) -> None:
        for pts in (12, 14, 13, 11):
            reader.on_updates(message(pts))
        assert recorder.read == ["11", "12", "13", "14"]
        assert reader.is_idle
        assert not recorder.requests

    run(scenario)


def test_updates_that_come_twice_are_read_once() -> None:
    async def scenario(reader: UpdateReader, recorder: Recorder) -> None:
        for pts in (12, 12, 11, 11, 12, 13):
            reader.on_updates(message(pts))
        assert recorder.read == ["11", "12", "13"]
        assert reader.is_idle

    run(scenario)


def test_an_update_that_never_comes_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updates, "_GAP_SECONDS", 0.01)

    async def scenario(reader: UpdateReader, recorder: Recorder) -> None:
        lost = message(11).updates[0].message
        recorder.answers = [
            types.updates.ChannelDifference(
                pts=11, new_messages=[lost], other_updates=[], chats=[], users=[], final=True
            )
        ]
        reader.on_updates(message(12))
        reader.on_updates(message(13))
        assert not recorder.requests
        await until(lambda: recorder.read == ["11", "12", "13"])
        assert len(recorder.requests) == 1
        await until(lambda: reader.is_idle)

    run(scenario)


def test_a_second_gap_behind_a_late_update_is_awaited_too() -> None:
    async def scenario(reader: UpdateReader, recorder: Recorder) -> None:
        for pts in (12, 15, 11):
            reader.on_updates(message(pts))
        assert recorder.read == ["11", "12"]
        assert not reader.is_idle
        for pts in (14, 13):
            reader.on_updates(message(pts))
        assert recorder.read == ["11", "12", "13", "14", "15"]
        assert reader.is_idle

    run(scenario)


def test_what_could_not_be_read_is_fetched_from_the_chats_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fetched: list[Box] = []
    monkeypatch.setattr(UpdateReader, "sync_later", lambda _reader, box: fetched.append(box))

    async def scenario(reader: UpdateReader, _recorder: Recorder) -> None:
        reader.on_updates(UpdatesMissed())
        assert fetched == [reader.account, reader.channels[CHANNEL]]

    run(scenario)
