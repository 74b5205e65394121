"""The ledger of a broadcast: however long it is, it has room in its cursor and its result."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from telethon import errors
from telethon.tl import types

from afx.cluster.reports import RESULT_LIMIT
from afx.cluster.task_jobs import CURSOR_LIMIT, TaskJob
from afx.reasons import TaskOutcome
from afx.tasks.kinds import message_broadcast
from afx.tasks.kinds.message_broadcast import BroadcastArguments, BroadcastResult
from afx.tasks.run import Run

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


def test_a_paused_broadcast_notes_what_it_was_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        asked: list[Any] = []
        saved: list[str] = []
        goes_on = asyncio.Event()

        async def client(request: Any) -> Any:
            asked.append(request)
            await goes_on.wait()

        client.is_connected = lambda: True  # type: ignore[attr-defined]
        session: Any = SimpleNamespace(
            client=client, wait_left=lambda _: 0.0, note_request=lambda _: None
        )
        run = Run(
            TaskJob(1, 1, 1, 1, 60, "{}", ""),
            "task-1-1",
            message_broadcast.KIND,
            queue="default",
            priority=2,
            node="w1",
            exports=Path(),
            progressed=lambda _run, _share, cursor: saved.append(cursor),
            logged=lambda *_: None,
        )
        run.use(session)
        monkeypatch.setattr("afx.telegram.chats.find_chat", found)
        chats = BroadcastArguments(chats=["-1", "-2"], text="hello")
        run.task = asyncio.create_task(message_broadcast.run(run, chats))  # type: ignore[assignment]
        while not asked:
            await asyncio.sleep(0)
        for _ in range(2):  # the order is repeated
            run.stop(TaskOutcome.CANCELLED)
            for _ in range(5):
                await asyncio.sleep(0)
        goes_on.set()
        await asyncio.wait({run.task})
        assert run.task.cancelled() and len(asked) == 1
        assert [json.loads(it)["next"] for it in saved] == [1]

    async def found(_call: Any, chat: str, _dialogs: Any) -> Any:
        return SimpleNamespace(peer=types.InputPeerChat(-int(chat)), entity=None)

    asyncio.run(scenario())
