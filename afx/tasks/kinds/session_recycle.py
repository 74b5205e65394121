"""session.recycle: connects a session to Telegram anew; nothing is missed."""

from __future__ import annotations

from afx.tasks.kinds.base import Arguments, Idempotence, Kind, Result, TaskRun, TryAgainError

_LOOK_SECONDS = 0.1
_MOST_SECONDS = 45.0


class RecycleArguments(Arguments):
    """Nothing: the session is named by the task."""


class RecycleResult(Result):
    """How long it took."""

    seconds: float


async def run(task: TaskRun, arguments: RecycleArguments) -> RecycleResult:
    """End the connection as a loss does, and wait for the next one."""
    del arguments
    task.reconnect()
    waited = 0.0
    while True:
        await task.sleep(_LOOK_SECONDS)
        waited += _LOOK_SECONDS
        if task.client.is_connected():
            return RecycleResult(seconds=round(waited, 1))
        if waited >= _MOST_SECONDS:
            raise TryAgainError("The session has not connected to Telegram again yet.")


KIND = Kind(
    name="session.recycle",
    summary="Connect a session to Telegram anew; nothing is missed.",
    arguments=RecycleArguments,
    result=RecycleResult,
    run=run,
    idempotence=Idempotence.STATE,
    priority="high",
)
