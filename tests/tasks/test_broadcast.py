"""The ledger of a broadcast: however long it is, it has room in its cursor and its result."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from telethon import errors

from afx.cluster.reports import RESULT_LIMIT
from afx.cluster.task_jobs import CURSOR_LIMIT
from afx.tasks.kinds import message_broadcast
from afx.tasks.kinds.message_broadcast import BroadcastArguments, BroadcastResult

CHATS = [f"@a_long_name_of_a_chat_{number:09d}" for number in range(1000)]


class FakeRun:
    """A run in which no chat can be found; it is killed after so many chats."""

    def __init__(self, cursor: Mapping[str, Any], most: int = 10_000) -> None:
        self.cursor = cursor
        self.asked: list[str] = []
        self._most = most

    async def call(self, request: Any) -> Any:
        self.asked.append(request.username)
        raise errors.UsernameNotOccupiedError(request)

    async def save(self, share: float, cursor: Mapping[str, Any]) -> None:
        del share
        self.cursor = json.loads(json.dumps(cursor))
        if len(self.asked) == self._most:
            raise asyncio.CancelledError

    async def sleep(self, seconds: float) -> None:
        assert seconds == 1.0

    def log(self, text: str) -> None:
        assert "CHAT_NOT_FOUND" in text

    def random_id(self, item: str) -> int:
        return hash(item)


def broadcast(run: FakeRun) -> BroadcastResult:
    arguments = BroadcastArguments(chats=CHATS, text="x")
    return asyncio.run(message_broadcast.run(run, arguments))  # type: ignore[arg-type]


def test_a_thousand_refused_chats_have_room_in_the_ledger() -> None:
    first = FakeRun({}, most=600)
    with pytest.raises(asyncio.CancelledError):
        broadcast(first)
    second = FakeRun(first.cursor)
    result = broadcast(second)
    assert (len(first.asked), len(second.asked)) == (600, 400)
    assert len(json.dumps(second.cursor)) < CURSOR_LIMIT
    assert len(result.model_dump_json()) < RESULT_LIMIT
    assert len(result.refused) + result.left_out == 1000
    assert list(result.refused) == CHATS[: len(result.refused)] and len(result.refused) > 300


@pytest.mark.parametrize("noted", ["x", [1], {"WHY": 5, "B": ["1", -1, 10**9, 1]}, None])
def test_a_ledger_that_is_malformed_is_read_as_far_as_it_goes(noted: object) -> None:
    result = broadcast(FakeRun({"next": 1000, "sent": 7, "refused": noted}))
    assert result.sent == 7 and set(result.refused) <= {CHATS[1]}
