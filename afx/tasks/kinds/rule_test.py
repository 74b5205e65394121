"""rule.test: whether a rule's chats can be found and read, and what it does with one message.

It sends nothing. What a message says is in its result only where that is asked for: results
are stored.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from afx.tasks.kinds.base import Arguments, Idempotence, Kind, Result, TaskFailedError, TaskRun
from afx.tasks.kinds.rule_fields import rule_of

_LONGEST, _LONGEST_ENTITY, _MOST = 4_096, 80, 20


class TestArguments(Arguments):
    """Which rule."""

    later: ClassVar = frozenset({"message", "source", "shows_copy"})

    rule: int = Field(ge=1)
    """The rule's id."""
    message: int | None = Field(None, ge=1, lt=2**31)
    """The id of a message in a source, which the rule is tried on."""
    source: str | None = Field(None, max_length=200)
    """That source, as the rule names it; needed where the rule has several."""
    shows_copy: bool = False
    """Whether the result has the copy's text."""


class TriedMessage(Result):
    """What the rule does with the message, by its filter and transforms alone."""

    forwards: bool
    decided: str
    """The condition that decided, or what else did."""
    changed: bool = False
    """Whether the copy differs from the message."""
    media: str = ""
    copy_text: str = ""
    entities: list[str] = Field(default_factory=list)
    """Kinds of the copy's formatting, with what each covers."""


class TestResult(Result):
    """What was found."""

    works: bool
    mode: str
    chats: dict[str, str]
    """Chat → its title, or what is wrong with it."""
    tried: TriedMessage | None = None
    """None: no message was given."""


async def run(task: TaskRun, arguments: TestArguments) -> TestResult:
    """Find each chat; read the newest message of each source, and try the given one."""
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
    tried = await _try_message(task, rule, arguments) if arguments.message else None
    return TestResult(works=works, mode=rule.mode, chats=chats, tried=tried)


async def _try_message(task: TaskRun, rule: Any, arguments: TestArguments) -> TriedMessage:
    from telethon import errors

    from afx.forwarding.topics import chat_of, message_topic, topic_of
    from afx.telegram.chats import ChatNotFoundError, find_chat
    from afx.telegram.errors import error_name
    from afx.telegram.history import pages

    number = arguments.message or 0
    name = _source(rule, arguments)
    try:
        found = await find_chat(task.call, chat_of(name))
        read = pages(task.call, found.peer, beyond=number - 1, to=number)
        raw = [it async for page in read for it in page]
    except (ChatNotFoundError, errors.BadRequestError, errors.ForbiddenError) as error:
        why = str(error) if isinstance(error, ChatNotFoundError) else error_name(error)
        raise TaskFailedError(f"{name} cannot be read: {why}.") from error
    if not raw:
        return TriedMessage(
            forwards=False, decided=f"{name} has no message {number}, or it is a service message"
        )
    if (topic := topic_of(name)) and message_topic(raw[0]) != topic:
        return TriedMessage(forwards=False, decided=f"it is in another topic than {name}")
    return _verdict(rule, raw[0], found.marked, shows_copy=arguments.shows_copy)


def _verdict(rule: Any, raw: Any, chat: int, *, shows_copy: bool) -> TriedMessage:
    from dataclasses import replace

    from afx.forwarding.trial import tried
    from afx.telegram.facts import TelegramFacts
    from afx.telegram.messages import incoming

    message = incoming(raw)
    if message is None:
        return TriedMessage(forwards=False, decided="it is a service message")
    facts = TelegramFacts(replace(message, chat=chat))
    try:
        found = tried(rule.filter, rule.transform, facts)
    except ValueError as error:
        raise TaskFailedError(f"This node cannot use the rule: {error}.") from error
    return TriedMessage(
        forwards=found.forwards,
        decided=found.decided or "the rule has no filter",
        changed=found.changed,
        media=facts.media,
        copy_text=found.text[:_LONGEST] if shows_copy and found.forwards else "",
        entities=[f"{it.kind}: {it.text}"[:_LONGEST_ENTITY] for it in found.entities[:_MOST]]
        if shows_copy and found.forwards
        else [],
    )


def _source(rule: Any, arguments: TestArguments) -> str:
    """Return the source that is meant; raises TaskFailedError when that is not clear."""
    if arguments.source is None and len(rule.sources) == 1:
        return str(rule.sources[0])
    if arguments.source in rule.sources:
        return str(arguments.source)
    raise TaskFailedError(f"Give the message's source: {', '.join(rule.sources)[:300]}.")


KIND = Kind(
    name="rule.test",
    summary="Look whether a rule's chats can be read, and what it does with a message.",
    arguments=TestArguments,
    result=TestResult,
    run=run,
    idempotence=Idempotence.READS,
    priority="high",
)
