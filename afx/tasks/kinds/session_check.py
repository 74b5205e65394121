"""session.check: asks Telegram who the account is."""

from __future__ import annotations

from afx.tasks.kinds.base import Arguments, Idempotence, Kind, Result, TaskRun, TryAgainError


class CheckArguments(Arguments):
    """Nothing: the session is named by the task."""


class CheckResult(Result):
    """Who the account is."""

    account: int
    name: str
    username: str


async def run(task: TaskRun, arguments: CheckArguments) -> CheckResult:
    """Ask for the account's own user; a lost login fails."""
    del arguments
    from telethon.tl import functions, types

    found = await task.call(functions.users.GetUsersRequest([types.InputUserSelf()]))
    if not found:
        raise TryAgainError("Telegram named no account.")
    me = found[0]
    names = (getattr(me, "first_name", None), getattr(me, "last_name", None))
    return CheckResult(
        account=me.id,
        name=" ".join(it for it in names if it)[:200],
        username=getattr(me, "username", None) or "",
    )


KIND = Kind(
    name="session.check",
    summary="Ask Telegram who the account is: shows that a session's login works.",
    arguments=CheckArguments,
    result=CheckResult,
    run=run,
    idempotence=Idempotence.READS,
    priority="high",
    timeout_seconds=60,
)
