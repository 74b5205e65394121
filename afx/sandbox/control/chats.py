"""Calls about channels and groups."""

from __future__ import annotations

from typing import Any

from afx.sandbox.control.calls import Sandbox, call
from afx.sandbox.telegram.peers import Account, Channel, Group


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
def chats(sandbox: Sandbox) -> list[dict[str, Any]]:
    """List all channels and groups."""
    world = sandbox.server.world
    found: list[Channel | Group] = [*world.channels.values(), *world.groups.values()]
    return [{"id": it.marked, "title": it.title, "members": len(it.members)} for it in found]
