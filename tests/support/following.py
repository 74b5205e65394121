"""For tests of copies that follow their sources."""

from __future__ import annotations

from support.sandbox import SandboxHarness, until

from afx.node.session import HostedSession
from afx.sandbox.telegram.peers import Channel

ALL = {"sync": ("edits", "deletes", "pins")}


def pin(sandbox: SandboxHarness, channel: Channel, number: int, pinned: bool = True) -> None:
    """Pin a message, or unpin it, as another account would."""
    channel.box.messages[number].pinned = pinned
    event = channel.box.record("pin" if pinned else "unpin", (number,))
    sandbox.server.pushes.channel_event(channel, event, None)


def pinned(channel: Channel) -> list[str]:
    return [it.text for it in channel.box.messages.values() if it.pinned]


async def settled(session: HostedSession, source: Channel) -> None:
    """Wait until a session has settled all that has happened in a source."""
    box = session.reader.channels[source.id]
    await until(lambda: box.cursor == source.box.pts)
