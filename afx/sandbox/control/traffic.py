"""Calls that post messages, one or many, and that read them back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from afx.sandbox.control.calls import Sandbox, call
from afx.sandbox.judge import flow as flows
from afx.sandbox.telegram.files import File
from afx.sandbox.telegram.peers import Channel
from afx.sandbox.telegram.uploads import Formula, is_same


@call
def post(
    sandbox: Sandbox, chat: int, text: str, author: int = 0, reply_to: int = 0, topic: int = 0
) -> int:
    """Post one message as an account (0: the channel itself); returns its id.

    It may answer a message, and lie in a topic of a forum.
    """
    return flows.post(sandbox.server, chat, author, text, reply_to=reply_to or None, topic=topic)


@call
def edit(sandbox: Sandbox, chat: int, message: int, text: str, account: int = 0) -> bool:
    """Change a message's text as an account, whose id of it counts outside channels."""
    flows.edit(sandbox.server, chat, account, message, text)
    return True


@call
def delete(sandbox: Sandbox, chat: int, messages: list[int], account: int = 0) -> int:
    """Remove messages as an account from every participant's box; returns how many."""
    return flows.delete(sandbox.server, chat, account, messages)


@call
def flow(sandbox: Sandbox, chats: list[list[int]], count: int, rate: float) -> bool:
    """Post many messages over chats in turn, given as [id, author]."""
    if not chats or count < 0 or rate <= 0:
        raise ValueError("a flow needs chats, a count and a rate above 0")
    if not sandbox.flow.progress.done:
        raise ValueError("a flow is running already")
    sandbox.flow.start([(chat, author) for chat, author in chats], count, rate)
    return True


@call
def stop_flow(sandbox: Sandbox) -> bool:
    """End the flow now."""
    sandbox.flow.cancel()
    return True


@call
def progress(sandbox: Sandbox) -> dict[str, Any]:
    """Return how far the flow has come."""
    return asdict(sandbox.flow.progress)


@call
def sent(sandbox: Sandbox) -> int:
    """Return how many messages clients have sent or forwarded; it costs hardly anything."""
    return sandbox.server.world.sent


@call
def count(sandbox: Sandbox, chat: int) -> int:
    """Return how many messages a channel has."""
    channel = sandbox.server.world.find(chat)
    if not isinstance(channel, Channel):
        raise KeyError(chat)
    return len(channel.box.messages)


@call
def messages(
    sandbox: Sandbox, chat: int, account: int = 0, after: int = 0, most: int = 100
) -> list[dict[str, Any]]:
    """Return a chat's messages after an id, oldest first."""
    return sandbox.server.ledger.rows(chat, account, after, most)


@call
def post_file(sandbox: Sandbox, chat: int, text: str, size: int, seed: int = 1) -> int:
    """Post a file of so many bytes, which are made by a formula; returns the message's id."""
    file = sandbox.server.world.files.add(Formula(seed, size), mime_type="a/b")
    return flows.post(sandbox.server, chat, 0, text, media=file)


@call
def same_files(sandbox: Sandbox, chat: int, size: int, seed: int = 1) -> int:
    """Return how many messages of a channel have the file that ``post_file`` makes so."""
    channel = sandbox.server.world.find(chat)
    if not isinstance(channel, Channel):
        raise KeyError(chat)
    wanted = Formula(seed, size)
    files = [it.media for it in channel.box.messages.values() if isinstance(it.media, File)]
    return sum(is_same(it.data, wanted) for it in files)
