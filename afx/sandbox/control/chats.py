"""Calls about channels and groups."""

from __future__ import annotations

import time
from typing import Any

from telethon.tl import types

from afx.sandbox.control.calls import Sandbox, call
from afx.sandbox.judge import flow as flows
from afx.sandbox.telegram.peers import BLUE, Account, Channel, Group, Topic


@call
def channels(sandbox: Sandbox, channels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Create channels, each given as the arguments of World.add_channel."""
    made = [sandbox.server.world.add_channel(**it) for it in channels]
    return [{"id": it.marked, "title": it.title} for it in made]


@call
def group(sandbox: Sandbox, title: str, creator: int, members: list[int]) -> dict[str, Any]:
    """Create a basic group."""
    made = sandbox.server.world.add_group(title, creator, members)
    return {"id": made.marked, "title": made.title}


@call
def invite(sandbox: Sandbox, chat: int, asks: bool = False) -> str:
    """Make an invite link to a channel or supergroup; where it ``asks``, nobody is let in."""
    peer = sandbox.server.world.find(chat)
    if not isinstance(peer, Channel):
        raise KeyError(chat)
    return f"https://t.me/+{sandbox.server.world.invite(peer.id, asks=asks).hash}"


@call
def topic(sandbox: Sandbox, chat: int, title: str) -> int:
    """Create a topic in a forum as its creator; returns its id."""
    forum, topics = _forum(sandbox, chat)
    action = types.MessageActionTopicCreate(title, BLUE)
    number = flows.post(sandbox.server, chat, forum.creator, "", action=action)
    topics[number] = Topic(number, title, forum.creator, int(time.time()))
    return number


@call
def close_topic(sandbox: Sandbox, chat: int, topic: int, on: bool = True) -> bool:
    """Close a topic of a forum, or open it again (1 is General)."""
    _, topics = _forum(sandbox, chat)
    topics[topic].closed = on
    return on


@call
def resolve(sandbox: Sandbox, name: str) -> int:
    """Return the marked id of a public name."""
    peer = sandbox.server.world.usernames[name.removeprefix("@").lower()]
    return peer.id if isinstance(peer, Account) else peer.marked


@call
def protect(sandbox: Sandbox, chat: int, on: bool = True) -> bool:
    """Forbid (or allow) forwards out of a channel."""
    peer = sandbox.server.world.find(chat)
    if not isinstance(peer, Channel):
        raise KeyError(chat)
    peer.noforwards = on
    return on


@call
def stars(sandbox: Sandbox, chat: int, stars: int) -> int:
    """Let a channel take messages for so many Stars only; 0: for nothing."""
    peer = sandbox.server.world.find(chat)
    if not isinstance(peer, Channel):
        raise KeyError(chat)
    peer.stars = stars
    return stars


@call
def chats(sandbox: Sandbox) -> list[dict[str, Any]]:
    """List all channels and groups."""
    world = sandbox.server.world
    found: list[Channel | Group] = [*world.channels.values(), *world.groups.values()]
    return [{"id": it.marked, "title": it.title, "members": len(it.members)} for it in found]


def _forum(sandbox: Sandbox, chat: int) -> tuple[Channel, dict[int, Topic]]:
    """Return a forum and its topics; raises KeyError for anything else."""
    peer = sandbox.server.world.find(chat)
    if not isinstance(peer, Channel) or peer.topics is None:
        raise KeyError(chat)
    return peer, peer.topics
