"""Judges one route: which source message has which copy, and whether both say the same.

Pure decisions over messages. What an earlier forward took is known to the sandbox;
what was sent is recognised by its text or, without one, by its media.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from afx.sandbox.telegram.boxes import Content, Message


class Side(NamedTuple):
    """The messages of one side of a route, oldest first, with those that were deleted."""

    messages: list[Message]
    deleted: Mapping[int, int]
    """Message id → the account that deleted it."""


class Alteration(NamedTuple):
    """A copy that does not say what its source says."""

    source: Message
    copy: Message
    fields: tuple[str, ...]


@dataclass(slots=True)
class Judgement:
    """What became of the messages of one route."""

    promised: list[int] = field(default_factory=list)
    """Ids of the source messages of which there must be a copy."""
    missing: list[Message] = field(default_factory=list)
    """Source messages that have no copy."""
    duplicated: int = 0
    out_of_order: int = 0
    altered: list[Alteration] = field(default_factory=list)
    wrong_replies: int = 0
    outdated: int = 0
    """Copies that say what their source said before an edit."""
    undeleted: int = 0
    """Copies of source messages that were deleted."""
    latencies: list[float] = field(default_factory=list)
    """Seconds from each source message to its copy."""
    strange: dict[int, Message] = field(default_factory=dict)
    """Messages of the account in the destination that are no copies of this route."""


def judge(chat: int, account: int, sources: Side, copies: Side) -> Judgement:
    """Judge the copies that an account made of the messages of a chat."""
    found = Judgement()
    matches = _match(chat, sources.messages, copies.messages, found)
    _judge_order(matches, found)
    for source in sources.messages:
        copy = matches.get(source.id)
        if copy and (source.reply_to or copy.reply_to):
            found.wrong_replies += not _replies_rightly(source, copy, matches, copies)
        if source.id in sources.deleted:
            found.undeleted += copy is not None and copy.id not in copies.deleted
            continue
        found.promised.append(source.id)
        # What another account deletes is not the forwarder's fault.
        if copy is None or copies.deleted.get(copy.id) == account:
            found.missing.append(source)
            continue
        _judge_content(source, copy, found)
    return found


def key(content: Content) -> Hashable:
    """Return by what a copy is recognised: its text or, without one, its media."""
    return content.text or (content.media and content.media.key) or ""


def differences(one: Content, other: Content) -> tuple[str, ...]:
    """Return the names of the fields in which two contents differ."""
    found = []
    if one.text != other.text:
        found.append("text")
    if one.entities is not other.entities and (one.entities or other.entities):
        ours, theirs = sorted(map(bytes, one.entities)), sorted(map(bytes, other.entities))
        if ours != theirs:
            found.append("entities")
    if one.media is not other.media and (
        one.media is None or other.media is None or one.media.key != other.media.key
    ):
        found.append("media")
    return tuple(found)


def _match(
    chat: int, sources: list[Message], copies: Iterable[Message], found: Judgement
) -> dict[int, Message]:
    """Return the first copy of each source message, by the source's id."""
    by_id = {it.id: it for it in sources}
    by_key: dict[Hashable, list[Message]] = {}
    for it in reversed(sources):
        for one in _keys(it):
            by_key.setdefault(one, []).append(it)
    matches: dict[int, Message] = {}
    for copy in copies:
        origin, number = copy.copied_from or (0, 0)
        source = by_id.get(number) if origin == chat else None
        if source is None:
            source = _next_of(by_key.get(_keys(copy)[0]), matches)
        if source is None:
            found.strange[copy.id] = copy
        elif source.id in matches:
            found.duplicated += 1
        else:
            matches[source.id] = copy
            found.latencies.append(copy.sent_at - source.sent_at)
    return matches


def _keys(it: Message) -> tuple[Hashable, ...]:
    """Return the keys of all that a message has said, oldest first."""
    if it.text and not it.earlier:
        return (it.text,)
    return tuple(key(content) for content in (*it.earlier, it.content))


def _next_of(alike: list[Message] | None, matches: Mapping[int, Message]) -> Message | None:
    """Return the first of some equal sources that has no copy yet; the last if all have."""
    if alike is None:
        return None
    while len(alike) > 1 and alike[-1].id in matches:
        alike.pop()
    return alike[-1]


def _judge_order(matches: Mapping[int, Message], found: Judgement) -> None:
    newest = 0
    for number in matches:  # in the order of the copies
        found.out_of_order += number < newest
        newest = max(newest, number)


def _judge_content(source: Message, copy: Message, found: Judgement) -> None:
    """Compare what was sent, and what the copy says now, with all that the source has said."""
    if copy.text == source.text and not _has_more_than_text(source, copy):
        return
    now, then = differences(source.content, copy.content), source.earlier
    if now:
        if any(not differences(it, copy.content) for it in then):
            found.outdated += 1
        else:
            found.altered.append(Alteration(source, copy, now))
            return
    if copy.earlier:
        sent = copy.earlier[0]
        if not any(not differences(it, sent) for it in (*then, source.content)):
            found.altered.append(Alteration(source, copy, differences(source.content, sent)))


def _has_more_than_text(source: Message, copy: Message) -> bool:
    of_source = source.entities or source.media
    return bool(of_source or copy.entities or copy.media or copy.earlier)


def _replies_rightly(
    source: Message, copy: Message, matches: Mapping[int, Message], copies: Side
) -> bool:
    """Return whether a copy replies to the copy of what its source replies to."""
    if source.reply_to is None:
        return copy.reply_to is None
    target = matches.get(source.reply_to)
    if target is None or target.id in copies.deleted:
        return True
    # A forward that names its author needs no reply: clients show the original.
    return copy.reply_to == target.id or (copy.reply_to is None and copy.forwarded is not None)
