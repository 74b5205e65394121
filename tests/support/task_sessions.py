"""Sessions of the bench of tasks: a client with a ledger, and kinds that use it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from support.task_bench import TaskBench
from support.term_harness import add, running
from telethon.errors import FloodWaitError
from telethon.tl import functions, types

from afx.node.waits import Waits
from afx.tasks.kinds import KINDS
from afx.tasks.kinds.base import Arguments, Idempotence, Kind, Result, TaskRun


class Telegram:
    """What the account has sent, by chat and text; a random id counts once, as Telegram's do."""

    def __init__(self) -> None:
        self.ledger: Counter[tuple[int, str]] = Counter()
        self.requests = 0
        self.waits: dict[int, float] = {}
        """chat → until when sends to it are refused."""
        self.before = asyncio.Event()
        self.after = asyncio.Event()
        """Sends wait for both: before, and after they have been done."""
        self.before.set()
        self.after.set()
        self._seen: set[int] = set()

    async def send(self, request: Any) -> None:
        """Take a message."""
        self.requests += 1
        await self.before.wait()
        chat = request.peer.channel_id
        left = self.waits.get(chat, 0) - time.time()
        if left > 0:
            raise FloodWaitError(request, round(left + 0.5))
        if request.random_id not in self._seen:
            self._seen.add(request.random_id)
            self.ledger[chat, request.message] += 1
        await self.after.wait()


class Client:
    """Stands in for a session's client."""

    def __init__(self, telegram: Telegram) -> None:
        self._telegram = telegram

    def is_connected(self) -> bool:
        return True

    async def __call__(self, request: Any) -> None:
        await self._telegram.send(request)


class FakeSession:
    """A session that runs on a node; its waits are the real ones."""

    def __init__(self, telegram: Telegram) -> None:
        self.client = Client(telegram)
        self._waits = Waits(time.time)

    def wait_left(self, key: int | str) -> float:
        return self._waits.held(key)

    def note_request(self, key: int | str) -> None:
        self._waits.take(key)

    def note_wait(self, key: int | str, seconds: float, reason: str) -> None:
        self._waits.note(key, seconds, reason)


class SendArguments(Arguments):
    """What to send."""

    text: str
    chat: int = 1


class SendResult(Result):
    """Nothing."""


async def send(task: TaskRun, arguments: SendArguments) -> SendResult:
    peer = types.InputPeerChannel(arguments.chat, 1)
    request = functions.messages.SendMessageRequest(
        peer, arguments.text, random_id=task.random_id("x")
    )
    task.log(f"sends {arguments.text}")
    await task.call(request)
    return SendResult()


SEND = Kind(
    name="test.send",
    summary="Send a text.",
    arguments=SendArguments,
    result=SendResult,
    run=send,
    idempotence=Idempotence.KEYED,
    timeout_seconds=600,
)


class SessionBench:
    """The bench, with a session, and nodes on which it runs."""

    def __init__(self, bench: TaskBench) -> None:
        self.bench = bench
        self.telegram = Telegram()
        [self.session] = add("alice", 1)

    def add_node(self, name: str, **options: Any) -> Any:
        """Add a node that can run the session and tasks of ``SEND``."""
        node = self.bench.add_node(name, kinds=[*KINDS.values(), SEND], **options)
        node.sessions[self.session] = FakeSession(self.telegram)
        return node

    def until_it_runs(self) -> None:
        self.bench.until(lambda: self.session in running())

    def send(self, *texts: str, chat: int = 1, **fields: Any) -> list[int]:
        """Submit a task for each text; returns their ids."""
        from models.storage.tasks import NewTask

        def arguments(text: str) -> str:
            return SendArguments(text=text, chat=chat).model_dump_json()

        fields = {"timeout_seconds": 600, **fields}
        new = [
            NewTask("test.send", session=self.session, arguments=arguments(it), **fields)
            for it in texts
        ]
        return self.bench.submit(*new)

    def hold(self, event: asyncio.Event) -> Callable[[], object]:
        """Let sends wait at an event; returns what lets them go on."""
        event.clear()
        return lambda: self.bench.loop.call_soon_threadsafe(event.set)
