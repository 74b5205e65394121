"""rule.replay: sends old messages of a rule's sources again, as the rule does.

It takes what the rule's filter accepts, and makes the copies that its transforms make. Each
copy has the random_id that live forwarding gives it: while Telegram remembers that id,
a message that was forwarded is not doubled. A rule with ``dedupe`` gets each content of the
range once; ``buttons`` and ``plugins`` hold. Other options are about live messages: nothing is
delayed, or deleted later. A rule with ``senders`` is refused: their accounts have ids of their
own, so that this one would post once more what they have posted. So is a bot, which cannot read
old messages (method/messages.getHistory is for people).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field

from afx.tasks.kinds.base import Arguments, Idempotence, Kind, TaskFailedError, TaskRun
from afx.tasks.kinds.chat_fields import cursor_number
from afx.tasks.kinds.copying import CopyResult, Prepare, copy_range
from afx.tasks.kinds.once import Once
from afx.tasks.kinds.plugged import Plugged
from afx.tasks.kinds.rule_fields import rule_of


class ReplayArguments(Arguments):
    """Which messages."""

    rule: int = Field(ge=1)
    """The rule's id."""
    first: int = Field(ge=1, lt=2**31)
    """The first message's id."""
    last: int = Field(ge=1, lt=2**31)


async def run(task: TaskRun, arguments: ReplayArguments) -> CopyResult:
    """Replay each source, from the cursor on."""
    from afx.forwarding.options import compile_options
    from afx.forwarding.outputs import is_output_text
    from afx.forwarding.topics import chat_of, topic_of
    from afx.telegram.chats import find_chat
    from afx.telegram.strangers import STRANGER, is_stranger

    rule = rule_of(task, arguments.rule)
    chats = [it for it in rule.destinations if not is_output_text(it)]
    if not chats:
        raise TaskFailedError("All destinations of the rule are outputs; only chats are replayed.")
    try:
        options = compile_options(rule.options)
    except (ValueError, LookupError, TypeError) as error:
        raise TaskFailedError(f"This node cannot use the rule: {error}.") from error
    if options.senders:
        raise TaskFailedError(
            "The rule has senders, which alone post its copies: a replay by its own session would "
            "post once more what they have posted. Nothing was sent."
        )
    if await _is_bot(task):
        raise TaskFailedError(
            "A bot cannot read old messages, which Telegram lets people alone do. Nothing was sent."
        )
    targets = {it: await find_chat(task.call, chat_of(it)) for it in chats}
    for name, it in targets.items():
        if not rule.options.get("strangers") and await is_stranger(task.call, it.peer, it.entity):
            raise TaskFailedError(f"{name}: {STRANGER}.")
    counts = {it: cursor_number(task.cursor, it) for it in ("copied", "refused")}
    done = cursor_number(task.cursor, "sources")
    once = Once(options.dedupe.window, options.dedupe.near) if options.dedupe else Once(0)
    finish = Plugged(task, counts)
    for index, name in enumerate(rule.sources):
        if index < done:
            continue
        source = await find_chat(task.call, chat_of(name))
        beyond = cursor_number(task.cursor, "beyond") if index == done else 0
        await copy_range(
            task,
            source=source.peer,
            prepare=_as_the_rule_does(
                rule, options, (source, topic_of(name)), targets, once, finish
            ),
            beyond=max(arguments.first - 1, beyond),
            to=arguments.last,
            counts=counts,
        )
        await task.save((index + 1) / len(rule.sources), {"sources": index + 1, **counts})
    return CopyResult(**counts)


def _as_the_rule_does(
    rule: Any,
    its: Any,
    of: tuple[Any, int],
    targets: Mapping[str, Any],
    once: Once,
    finish: Plugged,
) -> Prepare:
    """Return what copies messages as live forwarding does: filter, transforms, random ids.

    ``its`` are the rule's options; ``of`` is the source, with its topic; ``targets`` are chats
    by what the rule calls them; ``finish`` asks plug-ins.
    Raises TaskFailedError for a rule that this node cannot use.
    """
    from afx.forwarding.albums import AlbumCaptions
    from afx.forwarding.conditions import compile_filter
    from afx.forwarding.facts import Facts
    from afx.forwarding.options import Options
    from afx.forwarding.pipeline import deliveries
    from afx.forwarding.rules import Mode, Route, accepting, in_topic
    from afx.forwarding.topics import topic_of
    from afx.forwarding.transforms import compile_transform
    from afx.telegram.facts import TelegramFacts
    from afx.telegram.messages import incoming
    from afx.telegram.sender import requests

    try:
        test = compile_filter(rule.filter).test if rule.filter else None
        transform = compile_transform(rule.transform) if rule.transform else None
    except ValueError as error:
        raise TaskFailedError(f"This node cannot use the rule: {error}.") from error
    mode: Mode = "forward" if rule.mode == "forward" else "copy"
    albums = AlbumCaptions()
    source, topic = of
    topics = frozenset({topic} if topic else ())
    options = Options(buttons=its.buttons, plugins=its.plugins, replies=its.replies)
    routes = [
        Route(
            *(rule.id, it.marked, mode, test, transform),
            options=options,
            topic=topic_of(name),
            topics=topics,
        )
        for name, it in targets.items()
        if it.marked != source.marked or (topic and topic_of(name) not in (0, topic))
    ]
    peers = {it.marked: it.peer for it in (source, *targets.values())}

    async def prepare(messages: Sequence[Any]) -> list[tuple[int, Any]]:
        # What was found by a private chat's name may say its own marked id.
        found = [replace(it, chat=source.marked) for it in map(incoming, messages) if it]
        everything: list[Facts] = [TelegramFacts(it) for it in found]
        seen: list[Facts] = []
        for facts in everything:
            if albums.judged(facts) is None:
                albums.learn(facts, everything)
            seen.append(albums.judged(facts) or facts)
        made: list[tuple[int, Any]] = []
        for route in routes:
            chosen = []
            for it, facts in zip(found, seen, strict=True):
                taken = accepting(facts, in_topic(it.raw, (route,)))
                if taken and taken[0].unjudged:
                    raise TaskFailedError(f"Message {it.id} is not judged: {taken[0].unjudged}.")
                if taken and once.takes(it, facts.date):
                    chosen.append(it)
            batch = [deliveries(it, (route,), TelegramFacts)[0] for it in chosen]
            ready = await finish.ready([it for it in batch if not it.error])
            made += requests(ready, peers.__getitem__)
        return made

    return prepare


async def _is_bot(task: TaskRun) -> bool:
    """Return whether the account is a bot."""
    from telethon.tl import functions, types

    [me] = await task.call(functions.users.GetUsersRequest([types.InputUserSelf()]))
    return bool(me.bot)


KIND = Kind(
    name="rule.replay",
    summary="Send a range of old messages again, as a rule forwards them.",
    arguments=ReplayArguments,
    result=CopyResult,
    run=run,
    idempotence=Idempotence.KEYED,
    priority="low",
    max_attempts=5,
    timeout_seconds=3600,
)
