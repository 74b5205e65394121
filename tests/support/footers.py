"""Posts of a channel, and a rule that adds a line to their copies."""

from __future__ import annotations

from typing import Any

from support.sandbox import SandboxHarness

from afx.sandbox.telegram.peers import Channel

FOOTER = {"transform": ({"footer": "by {message}"},)}


def publish(sandbox: SandboxHarness, source: Channel, text: str, **fields: Any) -> int:
    message, event = sandbox.server.world.post(source, 0, text, **fields)
    sandbox.server.pushes.channel_event(source, event, message)
    return int(message.id)


def photo(sandbox: SandboxHarness, data: bytes = b"photo") -> Any:
    return sandbox.server.world.files.add(data, is_photo=True)
