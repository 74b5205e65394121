"""rule.check: whether an account can read and post to chats, without sending anything."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from afx.tasks.kinds.base import Arguments, Idempotence, Kind, Result, TaskRun
from afx.tasks.kinds.chat_fields import ChatName

_MOST = 200


class RuleCheckArguments(Arguments):
    """What an account is to be able to do."""

    reads: tuple[ChatName, ...] = Field(default=(), max_length=_MOST)
    """The chats that it is to read."""
    posts: tuple[ChatName, ...] = Field(default=(), max_length=_MOST)
    """The chats that it is to post to."""
    to_strangers: tuple[ChatName, ...] = Field(default=(), max_length=_MOST)
    """Those of them that may be people who do not know the account."""


class RuleCheckResult(Result):
    """What it cannot do."""

    problems: tuple[str, ...]
    """Such as ``post to -1001234567890: it was muted there``."""


async def run(task: TaskRun, arguments: RuleCheckArguments) -> RuleCheckResult:
    """Look at each chat as Telegram tells of it; chats with ids are looked for together."""
    from afx.telegram.access import why_mute, why_unread
    from afx.telegram.chats import ChatNotFoundError, Dialogs, find_chat
    from afx.telegram.strangers import STRANGER, is_stranger

    chats = dict.fromkeys((*arguments.reads, *arguments.posts))
    dialogs = Dialogs(chats)
    found: dict[str, Any] = {}
    strangers: set[str] = set()
    # Who is found by an id is among the account's conversations.
    wary = {it for it in arguments.posts if it.startswith("@")} - {*arguments.to_strangers}
    for it in chats:
        try:
            chat = await find_chat(task.call, it, dialogs)
        except ChatNotFoundError:
            found[it] = None
            continue
        found[it] = chat.entity
        if it in wary and await is_stranger(task.call, chat.peer, chat.entity):
            strangers.add(it)
    problems = []
    for verb, names, why in (
        ("read", arguments.reads, why_unread),
        ("post to", arguments.posts, why_mute),
    ):
        for it in names:
            reason = "it does not know this chat" if found[it] is None else why(found[it])
            if reason:
                problems.append(f"{verb} {it}: {reason}")
    problems += [f"post to {it}: {STRANGER}" for it in arguments.posts if it in strangers]
    return RuleCheckResult(problems=tuple(problems))


KIND = Kind(
    name="rule.check",
    summary="Check that an account can read, and post to, chats; 'afx rule apply' submits it.",
    arguments=RuleCheckArguments,
    result=RuleCheckResult,
    run=run,
    idempotence=Idempotence.READS,
    priority="high",
    timeout_seconds=120,
)
