"""For tests of forums: topics that other people make, change and remove."""

from __future__ import annotations

import time
from typing import Any

from support.sandbox import SandboxHarness
from telethon.tl import types

from afx.sandbox.judge.flow import post
from afx.sandbox.telegram.changes import Place
from afx.sandbox.telegram.peers import BLUE, Channel, Topic


def topics(forum: Channel) -> dict[int, Topic]:
    assert forum.topics is not None
    return forum.topics


def make(sandbox: SandboxHarness, forum: Channel, title: str) -> int:
    action = types.MessageActionTopicCreate(title, BLUE)
    message, event = sandbox.server.world.post(forum, 0, "", action=action)
    topics(forum)[message.id] = Topic(message.id, title, 0, int(time.time()))
    sandbox.server.pushes.channel_event(forum, event, message)
    return message.id


def change(sandbox: SandboxHarness, forum: Channel, topic: int, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(topics(forum)[topic], name, value)
    action = types.MessageActionTopicEdit(**fields)
    place = 0 if topic == 1 else topic
    post(sandbox.server, forum.marked, 0, "", action=action, topic=place)


def remove(sandbox: SandboxHarness, forum: Channel, topic: int) -> None:
    del topics(forum)[topic]
    forum.deleted_topics.add(topic)
    ids = [it.id for it in forum.box.messages.values() if topic in (it.id, it.topic)]
    Place(sandbox.server.world, sandbox.server.pushes, forum, 0).delete(ids)


def put(sandbox: SandboxHarness, forum: Channel, text: str, topic: int = 0, **more: Any) -> int:
    return post(sandbox.server, forum.marked, 0, text, topic=topic, **more)


def shown(forum: Channel) -> list[tuple[str, str]]:
    """Return each message with the title of its topic."""
    return [
        (topics(forum)[it.topic or 1].title, it.text)
        for it in forum.box.messages.values()
        if it.action is None
    ]


def titles(forum: Channel) -> list[tuple[str, bool]]:
    return [(it.title, it.closed) for it in topics(forum).values() if it.id != 1]
