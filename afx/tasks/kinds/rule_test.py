"""rule.test: whether a rule's chats can be found, read and posted to; it sends nothing."""

from __future__ import annotations

from pydantic import Field

from afx.tasks.kinds.base import Arguments, Idempotence, Kind, Result, TaskRun
from afx.tasks.kinds.rule_fields import rule_of


class TestArguments(Arguments):
    """Which rule."""

    rule: int = Field(ge=1)
    """The rule's id."""


class TestResult(Result):
    """What was found."""

    works: bool
    mode: str
    chats: dict[str, str]
    """Chat → its title, or what is wrong with it."""


async def run(task: TaskRun, arguments: TestArguments) -> TestResult:
    """Find each chat; read the newest message of each source."""
    from telethon import errors

    from afx.forwarding.outputs import is_output_text
    from afx.forwarding.topics import chat_of, topic_of
    from afx.telegram.chats import ChatNotFoundError, find_chat, title_of
    from afx.telegram.errors import error_name
    from afx.telegram.history import newest_id
    from afx.telegram.topics import TopicNotFoundError, topic_title

    rule = rule_of(task, arguments.rule)
    chats: dict[str, str] = {}
    works = True
    for name in dict.fromkeys((*rule.sources, *rule.destinations)):
        if is_output_text(name):
            chats[name] = "an output"
            continue
        try:
            found = await find_chat(task.call, chat_of(name))
            if name in rule.sources:
                await newest_id(task.call, found.peer)
            chats[name] = title_of(found.entity)
            if topic := topic_of(name):
                chats[name] += f" / {await topic_title(task.call, found.peer, topic)}"
        except (ChatNotFoundError, TopicNotFoundError) as error:
            works, chats[name] = False, str(error)
        except (errors.BadRequestError, errors.ForbiddenError) as error:
            works, chats[name] = False, error_name(error)
    return TestResult(works=works, mode=rule.mode, chats=chats)


KIND = Kind(
    name="rule.test",
    summary="Look whether a rule's chats can be found and read; nothing is sent.",
    arguments=TestArguments,
    result=TestResult,
    run=run,
    idempotence=Idempotence.READS,
    priority="high",
)
