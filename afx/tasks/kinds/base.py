"""What a kind of task is. Nothing here imports a node, Telegram or Redis."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Literal, Protocol

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from afx.reasons import DeadReason

Priority = Literal["premium", "high", "default", "low"]


class Idempotence(StrEnum):
    """Why a second run of the same task does no harm."""

    READS = "reads"
    """It changes nothing."""
    STATE = "state"
    """It leads to a state that a second run finds: a chat that is joined stays joined."""
    KEYED = "keyed"
    """Each side effect has a key by which Telegram recognises a repeated one."""


class Arguments(BaseModel):
    """The base of all arguments: other fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    later: ClassVar[frozenset[str]] = frozenset()
    """Fields that an earlier version of the kind did not have: its nodes refuse them, so they
    are written only where they are not as without them."""

    @model_serializer(mode="wrap")
    def _plain(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        return {
            name: it
            for name, it in write(self).items()
            if name not in self.later or it != fields[name].default
        }


class Result(BaseModel):
    """The base of all results."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskFailedError(Exception):
    """The task cannot succeed, and is not tried again; the text is for people."""


class TryAgainError(Exception):
    """The task may succeed later: it is tried again if it has an attempt left."""


class SnoozeError(Exception):
    """Telegram asks for a wait: the task runs again after it, which costs no attempt."""

    def __init__(self, seconds: float, text: str) -> None:
        super().__init__(text)
        self.seconds = seconds


class TaskRun(Protocol):
    """One run of a task, as its coroutine sees it."""

    @property
    def task_id(self) -> int:
        """The task's number."""

    @property
    def cursor(self) -> Mapping[str, Any]:
        """What an earlier attempt has saved; empty at first."""

    @property
    def client(self) -> Any:
        """The session's Telegram client."""

    @property
    def node(self) -> str:
        """The name of the node."""

    @property
    def rules(self) -> Sequence[Any]:
        """The session's enabled rules, as the node has them."""

    def reconnect(self) -> None:
        """Let the session connect to Telegram anew."""

    async def write_file(self, name: str, at: int, data: bytes) -> int:
        """Write to a file of exports at a position; returns the position after it."""

    async def call(self, request: Any) -> Any:
        """Make a request of Telegram; raises SnoozeError for a wait that it asks for."""

    async def save(self, share: float, cursor: Mapping[str, Any] | None = None) -> None:
        """Report how far the task is, 0 to 1, and where a next attempt goes on."""

    async def redeliver(
        self,
        rule: int,
        source: int,
        destination: int,
        messages: Sequence[int],
        *,
        reason: DeadReason | None = None,
    ) -> None:
        """Put messages of a route into its outbox once more; returns when that is stored.

        ``reason`` is why they are dead letters, where that tells what is to be done.
        """

    async def approve(
        self, rule: int, source: int, destination: int, versions: Mapping[int, int]
    ) -> Any:
        """Send approved messages of a route; returns what became of them.

        ``versions`` are those of the contents that were looked at, by message.
        """

    async def backfill(
        self,
        rule: int,
        destinations: Sequence[int],
        wanted: Sequence[tuple[int, int, int, int]],
        counts: tuple[int, int],
        newest: Mapping[int, Callable[[], Awaitable[int]]],
    ) -> Any:
        """Let the session send old messages of a rule, in order with new ones; returns how far
        that is.

        Chats are marked ids. ``wanted`` are (source, first, beyond, last): up to ``beyond``
        all are settled. ``counts`` are what an earlier attempt has copied, and was refused.
        ``newest`` asks for the newest message of sources of which none after that is wanted.
        Those of a task are begun once; each call lets the session go on for some minutes.
        """

    async def end_backfill(self) -> Any:
        """Let the session send no more old messages for this task: new ones wait no longer.

        Returns how far that was; None for nothing.
        """

    @property
    def is_cancelled(self) -> bool:
        """Whether it ends because somebody has cancelled it."""

    def log(self, text: str) -> None:
        """Say something to whoever follows the task; it holds no secret and no content."""

    def random_id(self, item: str) -> int:
        """Return the key of one side effect; the same in each attempt."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Kind:
    """One kind of task."""

    name: str
    """``noun.verb``."""
    summary: str
    arguments: type[Arguments]
    result: type[Result]
    run: Callable[[TaskRun, Any], Awaitable[Result]]
    idempotence: Idempotence
    needs_session: bool = True
    priority: Priority = "default"
    max_attempts: int = 3
    timeout_seconds: int = 60
    is_sealed: bool = False
    """The arguments hold content: SQL and Redis have them encrypted."""
    scope: str = ""
    """What it takes to submit one, besides ``task:write``."""

    def __post_init__(self) -> None:
        """Raise ValueError for a kind of which a replay would do harm.

        A job for any node is admitted once by each node: who writes to Redis can show it to
        a second one while it is valid. What has side effects is for the node of a session.
        """
        if not self.needs_session and self.idempotence is not Idempotence.READS:
            raise ValueError(f"kind {self.name} runs on any node, so it may change nothing")
